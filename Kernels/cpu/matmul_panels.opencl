// y = x Wᵀ + bias on CPU-class devices: one work-item computes whole panels of 32 columns.
//
//   x        [rows, K] float, rows x_stride elements apart, from element x_offset
//   packed   by 256 k's (the last fewer): [ceil(rows / TILE_ROWS), k's, TILE_ROWS] float, x in tiles of rows
//            (pack_rows), those that a tile lacks as zeros; what an item reads of one is consecutive
//   panels   W in panels of 32 columns (panel_formats.opencl)
//   bias     [N] float from element bias_offset, read where has_bias
//   y        [rows, N] float, rows y_stride elements apart, from element y_offset
// Order of sums: 256 consecutive k's by fma in order, then these partial sums in order; the same in both kernels
// and in the GPU-class ones, so a row does not depend on its batch.
// matmul_row: ceil(N / 32) items, groups of 1, one row. matmul_tile: (ceil(N / 32), row blocks) items, groups of 1;
// each unpacks 256 k's of its panel to local memory and takes its block's tiles of rows through them. The sums of a
// tile are in registers (register_tile.opencl, which comes before). Tunable: LANES, the host's tiles to a block.
#define CHUNK 256u
// Rows are dealt out evenly: with tiles of six, 32 are 6, 6, 5, 5, 5, 5, and five take five sixths of the time.
#define ROWS_OF(tile) DEALT(tile, all_tiles, rows)
#define FIRST_ROW(tile) DEALT_FIRST(tile, all_tiles, rows)

// Stores 32 columns of which `count` exist.
void store_columns(float16 a, float16 b, global float *y, uint count) {
  if (count >= 32) {
    vstore16(a, 0, y);
    vstore16(b, 1, y);
    return;
  }
  float values[32];
  vstore16(a, 0, values);
  vstore16(b, 1, values);
  for (uint i = 0; i < count; ++i) y[i] = values[i];
}

float16 load_columns(global const float *p, uint first, uint count) {
  if (first + 16 <= count) return vload16(0, p + first);
  float values[16];
  for (uint i = 0; i < 16; ++i) values[i] = first + i < count ? p[first + i] : 0.0f;
  return vload16(0, values);
}

kernel void matmul_row(global const float *x, uint x_offset, global const uchar *panels, global const float *bias,
                       uint bias_offset, int has_bias, global float *y, uint y_offset, uint K, uint N) {
  const uint first = get_global_id(0) * 32;
  global const uchar *panel = panels + get_global_id(0) * PANEL_BYTES(K);
  global const float *row = x + x_offset;
  float16 total0 = (float16)(-0.0f), total1 = (float16)(-0.0f);
  for (uint chunk = 0; chunk < K; chunk += CHUNK) {
    float16 sum0 = (float16)(0.0f), sum1 = (float16)(0.0f);
    const uint end = min(chunk + CHUNK, K);
    for (uint k0 = chunk; k0 < end; k0 += GROUP_K) {
      const uint count = min((uint)GROUP_K, end - k0);
      PANEL_GROUP(panel, k0, count, {
        const float16 v = (float16)(row[kk]);
        sum0 = fma(v, w0, sum0);
        sum1 = fma(v, w1, sum1);
      })
    }
    total0 += sum0;
    total1 += sum1;
  }
  float16 bias0 = (float16)(-0.0f), bias1 = (float16)(-0.0f);
  if (has_bias) {
    bias0 = load_columns(bias + bias_offset + first, 0, N - first);
    bias1 = load_columns(bias + bias_offset + first, 16, N - first);
  }
  store_columns(total0 + bias0, total1 + bias1, y + y_offset + first, N - first);
}

// Where k of a chunk lies in the unpacked panel, whose columns are split in parts of TILE_COLUMNS: 16 columns from
// 16 · half on.
#if TILE_COLUMNS == 16
#define UNPACKED(k, half) (unpacked + ((half) * CHUNK + (k)) * 16)
#else
#define UNPACKED(k, half) (unpacked + (k) * 32 + (half) * 16)
#endif

#define TILE_BEFORE(r)                                                       \
  if (r < valid) {                                                           \
    a##r = load_lanes(0, corner + (size_t)r * y_stride) + a##r;              \
    b##r = load_lanes(1, corner + (size_t)r * y_stride) + b##r;              \
  }
#define TILE_STORE(r)                                                        \
  if (r < valid) {                                                           \
    store_lanes(a##r + bias0, 0, corner + (size_t)r * y_stride);             \
    store_lanes(b##r + bias1, 1, corner + (size_t)r * y_stride);             \
  }
#define EDGE_STORE(r)                             \
  store_lanes(a##r, 0, edge + r * TILE_COLUMNS);  \
  store_lanes(b##r, 1, edge + r * TILE_COLUMNS);

kernel void matmul_tile(global const float *packed, global const uchar *panels, global const float *bias,
                        uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
                        uint rows, uint K, uint N) {
  local float unpacked[CHUNK * 32];
  float edge[TILE_ROWS * TILE_COLUMNS], shift[32];
  const uint first = get_global_id(0) * 32;
  const uint all_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, block = get_global_id(1), blocks = get_global_size(1);
  const uint first_tile = DEALT_FIRST(block, blocks, all_tiles);
  const uint last_tile = first_tile + DEALT(block, blocks, all_tiles);
  global const uchar *panel = panels + get_global_id(0) * PANEL_BYTES(K);
  for (uint i = 0; i < 32; ++i) shift[i] = -0.0f;
  for (uint chunk = 0; chunk < K; chunk += CHUNK) {
    const uint end = min(chunk + CHUNK, K);
    for (uint k0 = chunk; k0 < end; k0 += GROUP_K) {
      const uint count = min((uint)GROUP_K, end - k0);
      PANEL_GROUP(panel, k0, count, {
        vstore16(w0, 0, UNPACKED(kk - chunk, 0));
        vstore16(w1, 0, UNPACKED(kk - chunk, 1));
      })
    }
    // What follows in memory comes next: the panel's next k's, or the next panel.
    global const uchar *ahead = panel + PANEL_BYTES(K) / K * end;
    const uint next_terms = min(CHUNK, end < K ? K - end : K);
    const uint turns = (last_tile - first_tile) * (32 / TILE_COLUMNS) * ((end - chunk + 3) / 4);
    uint step = ((uint)(PANEL_BYTES(K) / K) * next_terms + turns - 1) / turns, burst = 0, stretch = CHUNK;
    // Few tiles do not have turns enough for a line in each: some lines every 32 terms.
    if (step > 64) {
      burst = step / 8;
      step = 0;
      stretch = 32;
    }
    if (has_bias && end == K) {
      for (uint i = 0; i < min(32u, N - first); ++i) shift[i] = bias[bias_offset + first + i];
    }
    for (uint part = 0; part < 32 && first + part < N; part += TILE_COLUMNS) {
      const uint columns = min((uint)TILE_COLUMNS, N - first - part);
      local const float *weights = unpacked + part * CHUNK;
      const lanes bias0 = load_lanes(0, shift + part), bias1 = load_lanes(1, shift + part);
      for (uint tile = first_tile; tile < last_tile; ++tile) {
        const uint valid = ROWS_OF(tile);
        global const float *source = packed + ((size_t)chunk * all_tiles + tile * (end - chunk)) * TILE_ROWS;
        global float *corner = y + y_offset + (size_t)FIRST_ROW(tile) * y_stride + first + part;
        FETCH_TILE(corner, y_stride)
        EACH_ROW(TILE_ZERO)
        for (uint k = 0; k < end - chunk; k += stretch) {
          const uint terms = min(stretch, end - chunk - k);
          for (uint i = 0; i < burst; ++i, ahead += 64) FETCH_LINE(ahead);
          if (valid < TILE_ROWS) {
            TILE_MULTIPLY_FETCHING(EACH_ROW_BUT_LAST, source + k * TILE_ROWS, local, weights + k * TILE_COLUMNS, terms,
                                   ahead, step)
          } else {
            TILE_MULTIPLY_FETCHING(EACH_ROW, source + k * TILE_ROWS, local, weights + k * TILE_COLUMNS, terms, ahead,
                                   step)
          }
        }
        if (columns == TILE_COLUMNS) {
          if (chunk > 0) {
            EACH_ROW(TILE_BEFORE)
          }
          EACH_ROW(TILE_STORE)
        } else {
          EACH_ROW(EDGE_STORE)
          for (uint r = 0; r < valid; ++r) {
            for (uint j = 0; j < columns; ++j) {
              const float sum = edge[r * TILE_COLUMNS + j];
              global float *out = corner + (size_t)r * y_stride + j;
              *out = (chunk > 0 ? *out + sum : sum) + shift[part + j];
            }
          }
        }
      }
    }
  }
}

// Packs x into tiles. Launch: (ceil(K / 256), tiles) items: the last k's, which are fewer, are not the last items.
kernel void pack_rows(global const float *x, uint x_offset, uint x_stride, global float *packed, uint rows,
                      uint K) {
  const uint tile = get_global_id(1);
  const uint k_first = get_global_id(0) * CHUNK, k_last = min(k_first + CHUNK, K);
  const uint all_tiles = get_global_size(1), valid = ROWS_OF(tile);
  global const float *in = x + x_offset + (size_t)FIRST_ROW(tile) * x_stride;
  global float *out = packed + ((size_t)k_first * all_tiles + tile * (k_last - k_first)) * TILE_ROWS;
  for (uint k = k_first; k < k_last; ++k, out += TILE_ROWS) {
#pragma unroll
    for (uint r = 0; r < TILE_ROWS; ++r) {
      out[r] = r < valid ? in[(size_t)r * x_stride + k] : 0.0f;
    }
  }
}
