// y = x Wᵀ + bias on NVIDIA's tensor cores, W as stored in the file; operands in 16 bits, sums in Float32.
//
//   x        [rows, K] float, rows x_stride elements apart, from element x_offset
//   operand  the same in 16 bits: for every 8 rows and every 32 k's ("span") their 8 × 32 numbers, rows of zeros
//            up to a multiple of 8 and columns to one of 32: [ceil(rows / 8), spans, 8, 32]. bfloat16, or half
//            precision where FORMAT is F16 (there ±65504 stands for larger numbers)
//   weights  [N, K] in FORMAT, rows row_bytes apart (mma_weights.opencl), 16-byte aligned where ALIGNED
//   bias     [N] float from element bias_offset, read where has_bias
//   y        [rows, N] float, rows y_stride elements apart, from element y_offset
//
// Scheme of an element's sum, one for all kernels here, so that a row has the same bits in every batch. The weights
// are the m16 operand, rows of x the n8 operand. K is cut into chunks of `chunk` k's, a multiple of 32 that depends on
// the matrix alone. Within a chunk, spans are added in order by two m16n8k16 instructions each: lane (g, t) holds
// k's 8t … 8t+7 of the span for row g (and g+8) in one 16-byte register group; the first instruction takes 8t … 8t+3,
// the second 8t+4 … 8t+7, of all t. Then chunks are added in order in Float32, and the bias last. This assignment of
// k's to lanes makes a fragment a plain 16-byte read of consecutive lanes, in global as in local memory, without
// bank conflicts and without `ldmatrix`.
//
// matmul_operand: x to operand. Launch: (4 · spans, 8 · row tiles) items; row tiles beyond the last row become zero.
// matmul_mma: many rows. A group of 32 · WARPS_N · WARPS_X items has WARPS_N · 64 columns and WARPS_X · WARP_ROWS rows,
//   a warp 64 × WARP_ROWS; tiles of 32 k's pass through a ring of STAGES buffers in local memory. Later chunks are added
//   to y.
//   Launch: groups in one dimension, ceil(N / columns) · ceil(rows / rows of a group); BAND groups of rows lie
//   together, so that groups at work at one time share what the second-level cache holds.
// matmul_mma_rows: up to 8 · ROW_TILES rows. A warp has 16 · COLUMN_TILES columns, all rows and one chunk; SPLITS warps
//   side by side have the chunks of their columns and add their sums in order. Weights go straight to registers, DEPTH
//   spans ahead: AHEAD, less where a span takes more registers.
//   Launch: ceil(N / (16 · COLUMN_TILES · WARPS / SPLITS)) groups of 32 · WARPS items.
// PART leaves out what a launch does not need, since these kernels take long to build: 1 matmul_operand alone, 2
// matmul_mma, 3 matmul_mma_rows.
// Tunable: WARPS_N, WARPS_X, WARP_ROWS (32 or 64), STAGES, BAND; COLUMN_TILES, WARPS (a multiple of SPLITS), AHEAD.
// Local memory: STAGES · (64 · WARPS_N + WARP_ROWS · WARPS_X) · 64 bytes, and WARPS · ROW_TILES · 512.
// Spills are matmul_mma on sm_80 and a few shapes that tables may ask for; whether some registers are left depends on
// the compiler.
// Check: -DFORMAT=1,2,3,4,7,8,9,10 -DWARPS_N=2 -DWARPS_X=2 -DWARP_ROWS=64 -DSTAGES=3 -DROW_TILES=1,2 -DSPLITS=4 | spills 168
// Check: -DFORMAT=1,2,3,4,7,8,9,10 -DWARPS_N=2 -DWARPS_X=4 -DWARP_ROWS=64 -DSTAGES=2 -DROW_TILES=8 -DCOLUMN_TILES=2 -DSPLITS=1 | spills 168
// Check: -DFORMAT=5,6 -DWARPS_N=2 -DWARPS_X=4 -DSTAGES=2 -DROW_TILES=8 -DCOLUMN_TILES=2 -DSPLITS=8 | spills 136
// Check: -DFORMAT=2 -DALIGNED=0 -DROW_TILES=4 -DCOLUMN_TILES=2 -DSPLITS=2 | spills 168
// What else tables may ask for (MatMul+WarpTuning.swift), with the weights that take most registers:
// Check: -DPART=2 -DFORMAT=2 -DWARPS_N=1 -DWARPS_X=2,4 -DWARP_ROWS=32 -DSTAGES=2,3,4
// Check: -DPART=2 -DFORMAT=2 -DWARPS_N=2 -DWARPS_X=1,2 -DWARP_ROWS=32 -DSTAGES=2,3,4
// Check: -DPART=2 -DFORMAT=2 -DWARPS_N=2 -DWARPS_X=4 -DWARP_ROWS=32 -DSTAGES=2,3
// Check: -DPART=2 -DFORMAT=2 -DWARPS_N=4 -DWARPS_X=1,2 -DWARP_ROWS=32 -DSTAGES=2
// Check: -DPART=2 -DFORMAT=2,8 -DWARPS_N=2,4 -DWARPS_X=2 -DWARP_ROWS=64 -DSTAGES=2 | spills 168
// Check: -DPART=3 -DFORMAT=2 -DROW_TILES=2,8 -DCOLUMN_TILES=1,2 -DAHEAD=4,8,16 -DWARPS=8 -DSPLITS=2 | spills 32
#ifndef WARPS_N
#define WARPS_N 2
#endif
#ifndef WARPS_X
#define WARPS_X 2
#endif
#ifndef WARP_ROWS
#define WARP_ROWS 64
#endif
#ifndef STAGES
#define STAGES 3
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
#ifndef SPLITS
#define SPLITS 1
#endif
#ifndef WARPS
#define WARPS (SPLITS < 4 ? 4 : SPLITS)
#endif
#ifndef AHEAD
#define AHEAD 8
#endif
#ifndef PART
#define PART 0
#endif
#define MOST_AHEAD (ROW_TILES > 2 && AHEAD > 8 ? 8 : AHEAD)
#define FEWER ((COLUMN_TILES > 1 ? 2 : 1) * (ROW_TILES > 4 ? 2 : 1) * (FORMAT >= FORMAT_Q4_K ? 2 : 1))
#define DEPTH (MOST_AHEAD > FEWER ? MOST_AHEAD / FEWER : 1)

#define SPAN 32u
// A span of 8 rows in 16-byte pieces; a stage in the same.
#define PIECES 32u
#define GROUP_ITEMS (32 * WARPS_N * WARPS_X)
#define TILE_N (64 * WARPS_N)
#define TILE_X (WARP_ROWS * WARPS_X)
#define STAGE ((TILE_N + TILE_X) * 4)
#define ROWS_ITEMS (32 * WARPS)

#if PART <= 1
kernel void matmul_operand(global const float *x, uint x_offset, uint x_stride, global uint4 *operand, uint rows,
                           uint K) {
  const uint k = get_global_id(0) * 8, row = get_global_id(1), spans = get_global_size(0) / 4;
  global const float *from = x + x_offset + (size_t)row * x_stride + k;
  float v[8];
  for (uint i = 0; i < 8; ++i) {
    v[i] = row < rows && k + i < K ? from[i] : 0.0f;
#if FORMAT == FORMAT_F16
    if (fabs(v[i]) > 65504.0f) v[i] = copysign(65504.0f, v[i]);
#endif
  }
  operand[((size_t)(row / 8) * spans + k / SPAN) * PIECES + row % 8 * 4 + k % SPAN / 8] =
      (uint4)(mma_pack2(v[0], v[1]), mma_pack2(v[2], v[3]), mma_pack2(v[4], v[5]), mma_pack2(v[6], v[7]));
}
#endif

// c += a span of 16 columns (low: column g, high: column g + 8) times one of 8 rows.
#define mma_span(c, low, high, rows_of_x)                                          \
  {                                                                                \
    const uint a0[4] = {(low).x, (high).x, (low).y, (high).y};                     \
    const uint a1[4] = {(low).z, (high).z, (low).w, (high).w};                     \
    const uint b0[2] = {(rows_of_x).x, (rows_of_x).y}, b1[2] = {(rows_of_x).z, (rows_of_x).w}; \
    warp_mma(c, a0, b0);                                                           \
    warp_mma(c, a1, b1);                                                           \
  }

#if PART == 0 || PART == 2
// Starts the copies of one span of k's into a stage: TILE_N rows of weights, then TILE_X rows of x.
void load_stage(WARP_COPIES_PARAMETER local uint4 *stage, global const uchar *weights, ulong row_bytes,
                global const uint4 *operand, uint span, uint spans, uint first_column, uint N, uint first_tile,
                uint row_tiles, uint K) {
  const uint item = get_local_id(0);
  warp_unroll for (uint i = 0; i < TILE_N * 4 / GROUP_ITEMS; ++i) {
    const uint piece = item + i * GROUP_ITEMS, k = span * SPAN + piece % 4 * 8;
    // Columns past the last are computed and not stored.
    const uint column = min(first_column + piece / 4, N - 1);
#if FORMAT < FORMAT_Q4_0 && ALIGNED
    // Places in 32 bits, as pointers would take twice the registers, and there are none left.
    const uint place = column * (uint)(row_bytes / 16) + (k < K ? k / 8 : 0);
    warp_copy16(stage + piece, (global const uint4 *)weights + place, k < K ? 16 : 0);
#else
    stage[piece] = mma_pack(mma_fetch(weights + (size_t)column * row_bytes, k, K), k);
#endif
  }
  warp_unroll for (uint i = 0; i < TILE_X * 4 / GROUP_ITEMS; ++i) {
    const uint piece = item + i * GROUP_ITEMS, tile = first_tile + piece / PIECES;
    const uint place = (min(tile, row_tiles - 1) * spans + span) * PIECES + piece % PIECES;
    warp_copy16(stage + TILE_N * 4 + piece, operand + place, tile < row_tiles ? 16 : 0);
  }
}

kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void matmul_mma(
    global const uint4 *operand, global const uchar *weights, ulong row_bytes, global const float *bias,
    uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride, uint rows, uint K, uint N,
    uint chunk) {
  WARP_STATE(GROUP_ITEMS);
  local uint4 stages[STAGES * STAGE];
  const uint item = get_local_id(0), lane = item % 32, warp = item / 32;
  const uint warp_column = warp % WARPS_N * 64, warp_row = warp / WARPS_N * WARP_ROWS;
  // Bands of BAND groups of rows, within a band columns after columns.
  const uint across = (N + TILE_N - 1) / TILE_N, down = (rows + TILE_X - 1) / TILE_X;
  const uint band = get_group_id(0) / (across * BAND), height = min(down - band * BAND, (uint)BAND);
  const uint place = get_group_id(0) % (across * BAND);
  const uint first_row = (band * BAND + place % height) * TILE_X, first_column = place / height * TILE_N;
  const uint spans = (K + SPAN - 1) / SPAN, row_tiles = (rows + 7) / 8, chunk_spans = chunk / SPAN;
  float sum[4][WARP_ROWS / 8][4];
  warp_unroll for (uint i = 0; i < 4; ++i) {
    warp_unroll for (uint j = 0; j < WARP_ROWS / 8; ++j) {
      warp_unroll for (uint e = 0; e < 4; ++e) sum[i][j][e] = 0.0f;
    }
  }
  for (uint s = 0; s < STAGES - 1; ++s) {
    if (s < spans) {
      load_stage(WARP_COPIES_ARGUMENT stages + s * STAGE, weights, row_bytes, operand, s, spans, first_column, N,
                 first_row / 8, row_tiles, K);
    }
    warp_copies_end();
  }
  uint until_flush = min(chunk_spans, spans);
  for (uint span = 0; span < spans; ++span) {
    warp_copies_wait(STAGES - 2);
    // All see the stage that this span needs, and none reads the one that is filled next any more.
    barrier(CLK_LOCAL_MEM_FENCE);
    if (span + STAGES - 1 < spans) {
      load_stage(WARP_COPIES_ARGUMENT stages + (span + STAGES - 1) % STAGES * STAGE, weights, row_bytes, operand,
                 span + STAGES - 1, spans, first_column, N, first_row / 8, row_tiles, K);
    }
    warp_copies_end();
    local const uint4 *stage = stages + span % STAGES * STAGE;
    local const uint4 *of_weights = stage + warp_column * 4 + lane;
    local const uint4 *of_x = stage + TILE_N * 4 + warp_row * 4 + lane;
    uint4 left[4][2];
    warp_unroll for (uint i = 0; i < 4; ++i) {
      left[i][0] = of_weights[i * 64];
      left[i][1] = of_weights[i * 64 + 32];
    }
    warp_unroll for (uint j = 0; j < WARP_ROWS / 8; ++j) {
      const uint4 right = of_x[j * 32];
      warp_unroll for (uint i = 0; i < 4; ++i) mma_span(sum[i][j], left[i][0], left[i][1], right);
    }
    if (--until_flush > 0) continue;
    // The chunk's end: its sums to y.
    const int first = span < chunk_spans, last = span + 1 == spans;
    until_flush = min(chunk_spans, spans - span - 1);
    warp_unroll for (uint i = 0; i < 4; ++i) {
      warp_unroll for (uint e = 0; e < 4; ++e) {
        const uint column = first_column + warp_column + 16 * i + lane / 4 + e / 2 * 8;
        const float shift = last && has_bias && column < N ? bias[bias_offset + column] : 0.0f;
        warp_unroll for (uint j = 0; j < WARP_ROWS / 8; ++j) {
          const uint row = first_row + warp_row + 8 * j + lane % 4 * 2 + e % 2;
          if (row < rows && column < N) {
            global float *target = y + y_offset + (size_t)row * y_stride + column;
            float value = first ? sum[i][j][e] : *target + sum[i][j][e];
            if (last && has_bias) value += shift;
            *target = value;
          }
          sum[i][j][e] = 0.0f;
        }
      }
    }
  }
}
#endif

#if PART == 0 || PART == 3
kernel __attribute__((reqd_work_group_size(ROWS_ITEMS, 1, 1))) void matmul_mma_rows(
    global const uint4 *operand, global const uchar *weights, ulong row_bytes, global const float *bias,
    uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride, uint rows, uint K, uint N,
    uint chunk) {
  WARP_STATE(ROWS_ITEMS);
  local float sums[WARPS * ROW_TILES * 4 * 32];
  const uint item = get_local_id(0), lane = item % 32, warp = item / 32, split = warp % SPLITS;
  const uint first_column = (get_group_id(0) * (WARPS / SPLITS) + warp / SPLITS) * 16 * COLUMN_TILES;
  const uint spans = (K + SPAN - 1) / SPAN, first_span = split * (chunk / SPAN);
#ifdef WARP_EMULATED
  // All warps take as many steps; spans past K are zeros.
  const uint end = first_span + chunk / SPAN;
#else
  const uint end = min(first_span + chunk / SPAN, spans);
#endif
  global const uchar *stored[COLUMN_TILES][2];
  float sum[COLUMN_TILES][ROW_TILES][4];
  warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
    warp_unroll for (uint h = 0; h < 2; ++h) {
      stored[i][h] = weights + (size_t)min(first_column + 16 * i + 8 * h + lane / 4, N - 1) * row_bytes;
    }
    warp_unroll for (uint j = 0; j < ROW_TILES; ++j) {
      warp_unroll for (uint e = 0; e < 4; ++e) sum[i][j][e] = 0.0f;
    }
  }
  mma_raw ahead[DEPTH][COLUMN_TILES][2];
  warp_unroll for (uint d = 0; d < DEPTH; ++d) {
    warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
      warp_unroll for (uint h = 0; h < 2; ++h) {
        const uint k = first_span + d < end ? (first_span + d) * SPAN + lane % 4 * 8 : K;
        ahead[d][i][h] = mma_fetch(stored[i][h], k, K);
      }
    }
  }
  for (uint base = first_span; base < end; base += DEPTH) {
    warp_unroll for (uint d = 0; d < DEPTH; ++d) {
      const uint span = base + d, k = span * SPAN + lane % 4 * 8;
      uint4 left[COLUMN_TILES][2];
      warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
        warp_unroll for (uint h = 0; h < 2; ++h) {
          left[i][h] = mma_pack(ahead[d][i][h], k);
          ahead[d][i][h] = mma_fetch(stored[i][h], span + DEPTH < end ? k + DEPTH * SPAN : K, K);
        }
      }
      warp_unroll for (uint j = 0; j < ROW_TILES; ++j) {
        const uint4 right =
            span < min(end, spans) ? operand[((size_t)j * spans + span) * PIECES + lane] : (uint4)(0);
        warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
          mma_span(sum[i][j], left[i][0], left[i][1], right);
        }
      }
    }
  }
  // The sums of all chunks, sixteen columns at a time; the columns' first warp adds them in order.
  warp_unroll for (uint i = 0; i < COLUMN_TILES; ++i) {
    barrier(CLK_LOCAL_MEM_FENCE);
    warp_unroll for (uint j = 0; j < ROW_TILES; ++j) {
      warp_unroll for (uint e = 0; e < 4; ++e) sums[((warp * ROW_TILES + j) * 4 + e) * 32 + lane] = sum[i][j][e];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (split > 0) continue;
    warp_unroll for (uint j = 0; j < ROW_TILES; ++j) {
      warp_unroll for (uint e = 0; e < 4; ++e) {
        const uint column = first_column + 16 * i + lane / 4 + e / 2 * 8, row = 8 * j + lane % 4 * 2 + e % 2;
        float total = sum[i][j][e];
        for (uint s = 1; s < SPLITS && s * chunk < K; ++s) {
          total += sums[(((warp + s) * ROW_TILES + j) * 4 + e) * 32 + lane];
        }
        if (row < rows && column < N) {
          if (has_bias) total += bias[bias_offset + column];
          y[y_offset + (size_t)row * y_stride + column] = total;
        }
      }
    }
  }
}
#endif
