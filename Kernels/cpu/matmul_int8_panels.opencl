// y = x Wᵀ + bias of int8 weights and activations on CPU-class devices: one work-item computes whole panels of 32
// columns.
//
//   x        [rows, K] float, rows x_stride elements apart, from element x_offset
//   packed   x in int8, codes as floats, in tiles of rows: [steps, row tiles, 64, TILE_ROWS], then scales
//            [steps, row tiles, TILE_ROWS]; steps as in int8_groups.opencl
//   panels   W in panels of 32 columns: for every 64 terms ("group") the columns' scales [32] float and codes
//            [64][32] char (pack_int8)
//   bias     [N] float from element bias_offset, read where has_bias
//   before   [rows, N] float, packed: the first pass's sums of fine activations, added before the bias where has_before
//   y        [rows, N] float, rows y_stride elements apart, from element y_offset
// Order of sums: int8_groups.opencl; the same bits as the CPU backend. A group's products are added in Float32, which
// holds all of these whole numbers: core OpenCL C has no product of bytes, and multiply-adds of floats are what its
// compilers for CPUs make most of.
// quantize_tiles: (row tiles, groups) items. matmul_int8_row: ceil(N / 32) items, one row, all passes.
// matmul_int8_tile: (ceil(N / 32), row blocks) items; each widens a group of its panel to local memory and takes its
// block's tiles of rows through it; sums wait in y. A launch makes one pass, from the operand's step first_step on.
// All in groups of 1. Tunable: LANES, the host's tiles to a block (those of matmul_tile).
#define GROUP_BYTES (128 + 64 * 32)

kernel void quantize_tiles(global const float *x, uint x_offset, uint x_stride, global float *packed, uint rows,
                           uint K, uint fine) {
  const uint tile = get_global_id(0), tiles = get_global_size(0);
  const uint group = get_global_id(1), groups = get_global_size(1), steps = groups << fine;
  const uint terms = min(INT8_GROUP, K - group * INT8_GROUP);
  float v[TILE_ROWS][64], codes[TILE_ROWS][64];
  for (uint r = 0; r < TILE_ROWS; ++r) {
    const uint row = tile * TILE_ROWS + r;
    global const float *from = x + x_offset + (size_t)row * x_stride + group * INT8_GROUP;
    if (row < rows && terms == 64) {
      for (uint i = 0; i < 4; ++i) vstore16(vload16(i, from), i, v[r]);
    } else {
      for (uint i = 0; i < 64; ++i) v[r][i] = row < rows && i < terms ? from[i] : 0.0f;
    }
  }
  for (uint pass = 0; pass <= fine; ++pass) {
    const size_t place = (size_t)(group + pass * groups) * tiles + tile;
    for (uint r = 0; r < TILE_ROWS; ++r) {
      float16 most = (float16)(0.0f);
      for (uint i = 0; i < 4; ++i) most = fmax(most, INT8_SIZES(float16, vload16(i, v[r])));
      const float8 most8 = fmax(most.lo, most.hi);
      const float4 most4 = fmax(most8.lo, most8.hi);
      const float peak = fmax(fmax(most4.x, most4.y), fmax(most4.z, most4.w));
      const float scale = peak / 127.0f, inverse = int8_inverse(peak);
      for (uint i = 0; i < 4; ++i) {
        const float16 code = clamp(rint(vload16(i, v[r]) * inverse), -127.0f, 127.0f);
        vstore16(code, i, codes[r]);
        vstore16(fma((float16)(-scale), code, vload16(i, v[r])), i, v[r]);
      }
      packed[(size_t)steps * tiles * 64 * TILE_ROWS + place * TILE_ROWS + r] = scale;
    }
    global float *out = packed + place * 64 * TILE_ROWS;
    for (uint i = 0; i < 64; ++i, out += TILE_ROWS) {
#pragma unroll
      for (uint r = 0; r < TILE_ROWS; ++r) out[r] = codes[r][i];
    }
  }
}

// Columns' sums of a group for one row of a tile.
#define ROW_GROUP(source, group_codes, d0, d1)                                    \
  float16 d0 = (float16)(0.0f), d1 = (float16)(0.0f);                             \
  for (uint i = 0; i < 64; ++i) {                                                 \
    const float16 v = (float16)((source)[i * TILE_ROWS]);                         \
    d0 = fma(v, lanes_float(lanes_from_char(vload16(2 * i, group_codes))), d0);   \
    d1 = fma(v, lanes_float(lanes_from_char(vload16(2 * i + 1, group_codes))), d1); \
  }

kernel void matmul_int8_row(global const float *packed, uint steps, global const uchar *panels, uint passes,
                            global const float *bias, uint bias_offset, int has_bias, global float *y, uint y_offset,
                            uint K, uint N) {
  const uint first = get_global_id(0) * 32, groups = (K + INT8_GROUP - 1) / INT8_GROUP;
  global const uchar *record = panels + get_global_id(0) * (size_t)groups * GROUP_BYTES;
  global const float *scales = packed + (size_t)steps * 64 * TILE_ROWS;
  float16 sum0 = (float16)(0.0f), sum1 = (float16)(0.0f), rest0 = (float16)(0.0f), rest1 = (float16)(0.0f);
  for (uint group = 0; group < groups; ++group, record += GROUP_BYTES) {
    const float16 scale0 = vload16(0, (global const float *)record), scale1 = vload16(1, (global const float *)record);
    global const char *codes = (global const char *)record + 128;
    {
      ROW_GROUP(packed + (size_t)group * 64 * TILE_ROWS, codes, d0, d1)
      const float scale = scales[group * TILE_ROWS];
      sum0 = fma(d0, scale0 * scale, sum0);
      sum1 = fma(d1, scale1 * scale, sum1);
    }
    if (passes > 1) {
      ROW_GROUP(packed + (size_t)(groups + group) * 64 * TILE_ROWS, codes, d0, d1)
      const float scale = scales[(groups + group) * TILE_ROWS];
      rest0 = fma(d0, scale0 * scale, rest0);
      rest1 = fma(d1, scale1 * scale, rest1);
    }
  }
  float values[32];
  vstore16(sum0 + rest0, 0, values);
  vstore16(sum1 + rest1, 1, values);
  for (uint i = 0; i < min(32u, N - first); ++i) {
    y[y_offset + first + i] = has_bias ? values[i] + bias[bias_offset + first + i] : values[i];
  }
}

// 16 columns of term k, from 16 · half on, in parts of TILE_COLUMNS.
#if TILE_COLUMNS == 16
#define WIDENED(k, half) (widened + ((half) * 64 + (k)) * 16)
#else
#define WIDENED(k, half) (widened + (k) * 32 + (half) * 16)
#endif

#define TILE_ADD(r)                                                                        \
  if (r < valid) {                                                                         \
    global float *out = corner + (size_t)r * y_stride;                                     \
    const float scale = scales[r];                                                         \
    lanes s0 = (lanes)(0.0f), s1 = (lanes)(0.0f);                                          \
    if (group > 0) {                                                                       \
      s0 = load_lanes(0, out);                                                             \
      s1 = load_lanes(1, out);                                                             \
    }                                                                                      \
    s0 = fma(a##r, scale0 * scale, s0);                                                    \
    s1 = fma(b##r, scale1 * scale, s1);                                                    \
    if (is_last) {                                                                         \
      if (has_before) {                                                                    \
        s0 = load_lanes(0, first_pass + (size_t)r * N) + s0;                               \
        s1 = load_lanes(1, first_pass + (size_t)r * N) + s1;                               \
      }                                                                                    \
      s0 += load_lanes(0, shift + part);                                                   \
      s1 += load_lanes(1, shift + part);                                                   \
    }                                                                                      \
    store_lanes(s0, 0, out);                                                               \
    store_lanes(s1, 1, out);                                                               \
  }
#define EDGE_STORE(r)                             \
  store_lanes(a##r, 0, edge + r * TILE_COLUMNS);  \
  store_lanes(b##r, 1, edge + r * TILE_COLUMNS);

kernel void matmul_int8_tile(global const float *packed, uint steps, global const uchar *panels, uint first_step,
                             global const float *before, int has_before, global const float *bias, uint bias_offset,
                             int has_bias, global float *y, uint y_offset, uint y_stride, uint rows, uint K, uint N) {
  local float widened[64 * 32];
  float edge[TILE_ROWS * TILE_COLUMNS], shift[32];
  const uint first = get_global_id(0) * 32, groups = (K + INT8_GROUP - 1) / INT8_GROUP;
  const uint tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  const uint block = get_global_id(1), blocks = get_global_size(1);
  const uint first_tile = DEALT_FIRST(block, blocks, tiles), last_tile = first_tile + DEALT(block, blocks, tiles);
  global const uchar *record = panels + get_global_id(0) * (size_t)groups * GROUP_BYTES;
  for (uint i = 0; i < 32; ++i) shift[i] = has_bias && first + i < N ? bias[bias_offset + first + i] : -0.0f;
  for (uint group = 0; group < groups; ++group, record += GROUP_BYTES) {
    const int is_last = group + 1 == groups;
    global const char *codes = (global const char *)record + 128;
    for (uint k = 0; k < 64; ++k) {
      vstore16(lanes_float(lanes_from_char(vload16(2 * k, codes))), 0, WIDENED(k, 0));
      vstore16(lanes_float(lanes_from_char(vload16(2 * k + 1, codes))), 0, WIDENED(k, 1));
    }
    for (uint part = 0; part < 32 && first + part < N; part += TILE_COLUMNS) {
      const uint columns = min((uint)TILE_COLUMNS, N - first - part);
      global const float *column_scales = (global const float *)record + part;
      const lanes scale0 = load_lanes(0, column_scales), scale1 = load_lanes(1, column_scales);
      for (uint tile = first_tile; tile < last_tile; ++tile) {
        const uint valid = min((uint)TILE_ROWS, rows - tile * TILE_ROWS);
        const size_t place = (size_t)(first_step + group) * tiles + tile;
        global const float *scales = packed + ((size_t)steps * tiles * 64 + place) * TILE_ROWS;
        global float *corner = y + y_offset + (size_t)tile * TILE_ROWS * y_stride + first + part;
        global const float *first_pass = before + (size_t)tile * TILE_ROWS * N + first + part;
        FETCH_TILE(corner, y_stride)
        EACH_ROW(TILE_ZERO)
        TILE_MULTIPLY(global, packed + place * 64 * TILE_ROWS, 1, TILE_ROWS, local, widened + part * 64, TILE_COLUMNS,
                      64)
        if (columns == TILE_COLUMNS) {
          EACH_ROW(TILE_ADD)
        } else {
          EACH_ROW(EDGE_STORE)
          for (uint r = 0; r < valid; ++r) {
            for (uint j = 0; j < columns; ++j) {
              global float *out = corner + (size_t)r * y_stride + j;
              float sum = fma(edge[r * TILE_COLUMNS + j], column_scales[j] * scales[r], group > 0 ? *out : 0.0f);
              if (is_last && has_before) sum = first_pass[(size_t)r * N + j] + sum;
              *out = is_last ? sum + shift[part + j] : sum;
            }
          }
        }
      }
    }
  }
}
