// y = x Wᵀ + bias of int8 weights and activations on NVIDIA's tensor cores; layouts and order of sums:
// int8_groups.opencl.
//
//   operand   rows of x (quantize_int8.opencl), row_tiles tiles of `steps` steps; matmul_mma_int8_rows reads ROW_TILES
//   weights   [N, K] in int8
//   bias      [N] float from element bias_offset, read where has_bias
//   y         [rows, N] float, rows y_stride elements apart, from element y_offset
//   passes    1, or 2 for fine activations; a matrix may take one pass over an operand that has two
//
// The weights are the m16 operand, rows of x the n8 operand, and a group of 64 terms is two m16n8k32 instructions,
// whose sums are exact in any order: lane (g, t) holds terms 16t … 16t+15 of the group for row g (and g+8) in one
// 16-byte register group, and the first instruction takes the first eight of them. So fragments are plain 16-byte
// reads of consecutive lanes, in global as in local memory. A group's sums start at the bits of 1.5 · 2²³ instead of
// 0: read as floats they are 1.5 · 2²³ + the sum, which spares a conversion (|sum| ≤ 64 · 127² < 2²²).
//
// matmul_mma_int8: many rows. A group of 64 · WARPS_X items has 128 columns and WARPS_X · WARP_ROWS rows, a warp
//   64 × WARP_ROWS; groups of 64 terms and their scales pass through a ring of STAGES buffers in local memory. A launch
//   makes one pass: the operand's step `first_step` meets the first group. The second pass, from a later one than 0,
//   is added to y.
//   Launch: groups in one dimension, ceil(N / columns) · ceil(rows / rows of a group); BAND groups of rows lie
//   together, so that groups at work at one time share what the second-level cache holds.
// matmul_mma_int8_rows: up to 8 · ROW_TILES rows. A group of WARPS warps has 16 · COLUMN_TILES columns and all rows.
//   In a round a warp multiplies DEPTH steps, those of the next round already under way to registers, and leaves the
//   steps' sums in local memory; then each item adds them up for its elements, step after step.
//   Launch: ceil(N / (16 · COLUMN_TILES)) groups of 32 · WARPS items.
// PART leaves out what a launch does not need: 1 matmul_mma_int8 alone, 2 matmul_mma_int8_rows.
// Tunable: WARPS_X, WARP_ROWS (32 or 64), STAGES, BAND; COLUMN_TILES, WARPS, AHEAD (steps of a round where
// there are few sums). Local memory: STAGES · (128 + WARP_ROWS · WARPS_X) · 68 bytes, and
// WARPS · max(AHEAD, COLUMN_TILES · ROW_TILES) · 512 at most.
// Check: -DWARPS_X=2 -DWARP_ROWS=64 -DSTAGES=2 -DROW_TILES=8 -DCOLUMN_TILES=1,2 -DWARPS=4
// Check: -DWARPS_X=3 -DWARP_ROWS=64 -DSTAGES=2 -DROW_TILES=1 -DCOLUMN_TILES=1,2 -DAHEAD=4,8 -DWARPS=4
// Check: -DWARPS_X=2,3 -DWARP_ROWS=32 -DSTAGES=2,3 -DROW_TILES=1 -DCOLUMN_TILES=1 -DAHEAD=4 -DWARPS=8
// Check: -DPART=2 -DROW_TILES=1,8 -DCOLUMN_TILES=1 -DAHEAD=8 -DWARPS=8
#ifndef WARPS_X
#define WARPS_X 2
#endif
#ifndef WARP_ROWS
#define WARP_ROWS 64
#endif
#ifndef STAGES
#define STAGES 2
#endif
#ifndef BAND
#define BAND 8
#endif
#ifndef ROW_TILES
#define ROW_TILES 1
#endif
#ifndef COLUMN_TILES
#define COLUMN_TILES 1
#endif
#ifndef WARPS
#define WARPS 4
#endif
#ifndef AHEAD
#define AHEAD 8
#endif
#ifndef PART
#define PART 0
#endif

// A tile of 8 rows in 16-byte pieces.
#define PIECES 32u
#define GROUP_ITEMS (64 * WARPS_X)
#define TILE_N 128
#define TILE_X (WARP_ROWS * WARPS_X)
// A stage in 16-byte pieces: codes of columns and rows, then their scales.
#define STAGE_SCALES ((TILE_N + TILE_X) * 4)
#define STAGE (STAGE_SCALES + (TILE_N + TILE_X) / 4)
#define TILES (COLUMN_TILES * ROW_TILES)
#define DEPTH (AHEAD > TILES ? AHEAD / TILES : 1)
#define SLOTS (WARPS * DEPTH)
// Groups whose scales are asked for together, before the first is needed; it divides SLOTS.
#define BATCH (SLOTS < 16 ? SLOTS : 16)
#define ROWS_ITEMS (32 * WARPS)

// 1.5 · 2²³ in Float32, as a float and as its bits.
#define MAGIC 12582912.0f
#define MAGIC_BITS 0x4b400000

// c = MAGIC + the sums of a group, of 16 columns (low: column g, high: column g + 8) and 8 rows.
#define mma_group(c, low, high, rows_of_x)                                                     \
  {                                                                                            \
    const uint a0[4] = {(low).x, (high).x, (low).y, (high).y};                                 \
    const uint a1[4] = {(low).z, (high).z, (low).w, (high).w};                                 \
    const uint b0[2] = {(rows_of_x).x, (rows_of_x).y}, b1[2] = {(rows_of_x).z, (rows_of_x).w}; \
    (c)[0] = (c)[1] = (c)[2] = (c)[3] = MAGIC_BITS;                                            \
    warp_mma_s8(c, a0, b0);                                                                    \
    warp_mma_s8(c, a1, b1);                                                                    \
  }

#if PART <= 1
// Starts the copies of one step into a stage.
void load_stage(WARP_COPIES_PARAMETER local uint4 *stage, global const uint4 *weights, uint groups, uint group,
                global const uint4 *operand, uint steps, uint step, uint first_column, uint N, uint first_tile,
                uint row_tiles) {
  const uint item = get_local_id(0);
  warp_unroll for (uint i = 0; i < (TILE_N * 4 + GROUP_ITEMS - 1) / GROUP_ITEMS; ++i) {
    const uint piece = min(item + i * GROUP_ITEMS, TILE_N * 4 - 1u);
    // Columns past the last are computed and not stored.
    warp_copy16(stage + piece, weights + (min(first_column + piece / 4, N - 1) * groups + group) * 4 + piece % 4, 16);
  }
  warp_unroll for (uint i = 0; i < TILE_X * 4 / GROUP_ITEMS; ++i) {
    const uint piece = item + i * GROUP_ITEMS, tile = first_tile + piece / PIECES;
    const uint place = (min(tile, row_tiles - 1) * steps + step) * PIECES + piece % PIECES;
    warp_copy16(stage + TILE_N * 4 + piece, operand + place, tile < row_tiles ? 16 : 0);
  }
  // Four scales a piece. Items that are left over copy the last one too: PoCL 3.1 goes wrong where some copy less.
  const uint piece = min(item, (TILE_N + TILE_X) / 4 - 1u);
  const int of_columns = piece < TILE_N / 4;
  const uint quad = of_columns ? first_column / 4 + piece : first_tile * 2 + piece - TILE_N / 4;
  const uint quads = of_columns ? INT8_COLUMNS(N) / 4 : row_tiles * 2;
  global const uint4 *scales =
      of_columns ? weights + N * groups * 4 + group * quads : operand + row_tiles * steps * PIECES + step * quads;
  warp_copy16(stage + STAGE_SCALES + piece, scales + min(quad, quads - 1), quad < quads ? 16 : 0);
}

kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void matmul_mma_int8(
    global const uint4 *operand, uint row_tiles, uint steps, global const uint4 *weights, uint passes,
    uint first_step, global const float *bias, uint bias_offset, int has_bias, global float *y, uint y_offset,
    uint y_stride, uint rows, uint K, uint N) {
  WARP_STATE(GROUP_ITEMS);
  local uint4 stages[STAGES * STAGE];
  const uint item = get_local_id(0), lane = item % 32, warp = item / 32;
  const uint warp_column = warp % 2 * 64, warp_row = warp / 2 * WARP_ROWS;
  // Bands of BAND groups of rows, within a band columns after columns.
  const uint across = (N + TILE_N - 1) / TILE_N, down = (rows + TILE_X - 1) / TILE_X;
  const uint band = get_group_id(0) / (across * BAND), height = min(down - band * BAND, (uint)BAND);
  const uint place = get_group_id(0) % (across * BAND);
  const uint first_row = (band * BAND + place % height) * TILE_X, first_column = place / height * TILE_N;
  const uint groups = (K + INT8_GROUP - 1) / INT8_GROUP;
  float sum[4][WARP_ROWS / 8][4];
  warp_unroll for (uint i = 0; i < 4; ++i) {
    warp_unroll for (uint j = 0; j < WARP_ROWS / 8; ++j) {
      warp_unroll for (uint e = 0; e < 4; ++e) sum[i][j][e] = 0.0f;
    }
  }
  for (uint s = 0; s < STAGES - 1; ++s) {
    if (s < groups) {
      load_stage(WARP_COPIES_ARGUMENT stages + s * STAGE, weights, groups, s, operand, steps, first_step + s,
                 first_column, N, first_row / 8, row_tiles);
    }
    warp_copies_end();
  }
  for (uint group = 0; group < groups; ++group) {
    warp_copies_wait(STAGES - 2);
    // All see the stage that this group needs, and none reads the one that is filled next any more.
    barrier(CLK_LOCAL_MEM_FENCE);
    const uint next = group + STAGES - 1;
    if (next < groups) {
      load_stage(WARP_COPIES_ARGUMENT stages + next % STAGES * STAGE, weights, groups, next, operand, steps,
                 first_step + next, first_column, N, first_row / 8, row_tiles);
    }
    warp_copies_end();
    local const uint4 *stage = stages + group % STAGES * STAGE;
    local const uint4 *of_weights = stage + warp_column * 4 + lane;
    local const uint4 *of_x = stage + TILE_N * 4 + warp_row * 4 + lane;
    local const float *column_scales = (local const float *)(stage + STAGE_SCALES) + warp_column + lane / 4;
    local const float2 *row_scales =
        (local const float2 *)(stage + STAGE_SCALES + TILE_N / 4) + warp_row / 2 + lane % 4;
    uint4 left[4][2];
    float scale[4][2];
    warp_unroll for (uint i = 0; i < 4; ++i) {
      warp_unroll for (uint h = 0; h < 2; ++h) {
        left[i][h] = of_weights[i * 64 + h * 32];
        scale[i][h] = column_scales[i * 16 + h * 8];
      }
    }
    warp_unroll for (uint j = 0; j < WARP_ROWS / 8; ++j) {
      const uint4 right = of_x[j * 32];
      const float2 pair = row_scales[j * 4];
      warp_unroll for (uint i = 0; i < 4; ++i) {
        int c[4];
        mma_group(c, left[i][0], left[i][1], right);
        sum[i][j][0] = fma(as_float(c[0]) - MAGIC, scale[i][0] * pair.x, sum[i][j][0]);
        sum[i][j][1] = fma(as_float(c[1]) - MAGIC, scale[i][0] * pair.y, sum[i][j][1]);
        sum[i][j][2] = fma(as_float(c[2]) - MAGIC, scale[i][1] * pair.x, sum[i][j][2]);
        sum[i][j][3] = fma(as_float(c[3]) - MAGIC, scale[i][1] * pair.y, sum[i][j][3]);
      }
    }
  }
  // Not within a loop: there the places in y would be kept in registers, of which there are none left.
  warp_unroll for (uint i = 0; i < 4; ++i) {
    warp_unroll for (uint e = 0; e < 4; ++e) {
      const uint column = first_column + warp_column + 16 * i + lane / 4 + e / 2 * 8;
      const int shifted = has_bias && (first_step > 0 || passes == 1);
      const float shift = shifted && column < N ? bias[bias_offset + column] : 0.0f;
      warp_unroll for (uint j = 0; j < WARP_ROWS / 8; ++j) {
        const uint row = first_row + warp_row + 8 * j + lane % 4 * 2 + e % 2;
        if (row < rows && column < N) {
          global float *target = y + y_offset + (size_t)row * y_stride + column;
          float value = first_step > 0 ? *target + sum[i][j][e] : sum[i][j][e];
          if (shifted) value += shift;
          *target = value;
        }
      }
    }
  }
}
#endif

#if PART == 0 || PART == 2
// Elements of y that an item adds up.
#define ELEMENTS ((128 * TILES + ROWS_ITEMS - 1) / ROWS_ITEMS)

kernel __attribute__((reqd_work_group_size(ROWS_ITEMS, 1, 1))) void matmul_mma_int8_rows(
    global const uint4 *operand, uint row_tiles, uint steps, global const uint4 *weights, uint passes,
    global const float *bias, uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
    uint rows, uint K, uint N) {
  WARP_STATE(ROWS_ITEMS);
  // [slots, tiles, registers, lanes]: the steps' sums, as MAGIC + sum.
  local float dots[SLOTS * TILES * 128];
  const uint item = get_local_id(0), lane = item % 32, warp = item / 32;
  const uint first_column = get_group_id(0) * 16 * COLUMN_TILES;
  const uint groups = (K + INT8_GROUP - 1) / INT8_GROUP, end = passes * groups;
  global const float *column_scales = INT8_WEIGHT_SCALES((global const uchar *)weights, N, groups);
  global const float *row_scales = INT8_ROW_SCALES(operand, row_tiles, steps);
  global const uint4 *stored[COLUMN_TILES][2];
  warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
    warp_unroll for (uint h = 0; h < 2; ++h) {
      stored[i][h] =
          weights + (size_t)min(first_column + 16 * i + 8 * h + lane / 4, N - 1) * groups * 4 + lane % 4;
    }
  }
  uint4 ahead[DEPTH][COLUMN_TILES][2];
#define fetch_step(d, step)                                                                                 \
  warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {                                                     \
    warp_unroll for (uint h = 0; h < 2; ++h) {                                                              \
      ahead[d][i][h] = (step) < end ? warp_load16(stored[i][h] + ((step) < groups ? (step) : (step) - groups) * 4) \
                                    : (uint4)(0);                                                           \
    }                                                                                                       \
  }
  warp_unroll for (uint d = 0; d < DEPTH; ++d) {
    fetch_step(d, d * WARPS + warp)
  }
  float before[ELEMENTS], sum[ELEMENTS];
  warp_unroll for (uint n = 0; n < ELEMENTS; ++n) before[n] = sum[n] = 0.0f;
  for (uint base = 0; base < end; base += SLOTS) {
    warp_unroll for (uint d = 0; d < DEPTH; ++d) {
      const uint slot = d * WARPS + warp, step = base + slot;
      uint4 left[COLUMN_TILES][2];
      warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
        left[i][0] = ahead[d][i][0];
        left[i][1] = ahead[d][i][1];
      }
      fetch_step(d, step + SLOTS)
      warp_unroll for (uint j = 0; j < ROW_TILES; ++j) {
        const uint4 right = step < end ? operand[((size_t)j * steps + step) * PIECES + lane] : (uint4)(0);
        warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
          int c[4];
          mma_group(c, left[i][0], left[i][1], right);
          local float *target = dots + (slot * TILES + i * ROW_TILES + j) * 128 + lane;
          warp_unroll for (uint e = 0; e < 4; ++e) target[32 * e] = as_float(c[e]);
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    warp_unroll for (uint n = 0; n < ELEMENTS; ++n) {
      const uint element = item + n * ROWS_ITEMS, of_lane = element % 32, e = element / 32 % 4;
      const uint row = element / 128 % ROW_TILES * 8 + of_lane % 4 * 2 + e % 2;
      const uint column = first_column + element / 128 / ROW_TILES * 16 + of_lane / 4 + e / 2 * 8;
      if (element < 128 * TILES && row < rows && column < N) {
        for (uint from = 0; from < SLOTS && base + from < end; from += BATCH) {
          float scale[BATCH];
          warp_unroll for (uint s = 0; s < BATCH; ++s) {
            const uint step = min(base + from + s, end - 1);
            scale[s] = column_scales[(size_t)(step < groups ? step : step - groups) * INT8_COLUMNS(N) + column] *
                       row_scales[(size_t)step * 8 * row_tiles + row];
          }
          warp_unroll for (uint s = 0; s < BATCH; ++s) {
            const uint step = base + from + s;
            if (step < end) {
              if (step == groups) {
                before[n] = sum[n];
                sum[n] = 0.0f;
              }
              sum[n] = fma(dots[(from + s) * TILES * 128 + element] - MAGIC, scale[s], sum[n]);
            }
          }
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  warp_unroll for (uint n = 0; n < ELEMENTS; ++n) {
    const uint element = item + n * ROWS_ITEMS, of_lane = element % 32, e = element / 32 % 4;
    const uint row = element / 128 % ROW_TILES * 8 + of_lane % 4 * 2 + e % 2;
    const uint column = first_column + element / 128 / ROW_TILES * 16 + of_lane / 4 + e / 2 * 8;
    if (element < 128 * TILES && row < rows && column < N) {
      const float value = passes > 1 ? before[n] + sum[n] : sum[n];
      y[y_offset + (size_t)row * y_stride + column] = has_bias ? value + bias[bias_offset + column] : value;
    }
  }
}
#endif
