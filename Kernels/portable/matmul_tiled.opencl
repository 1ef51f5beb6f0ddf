// y = x Wᵀ + bias on GPU-class devices, W as stored in the file.
//
//   x        [rows, K] float, rows x_stride elements apart, from element x_offset
//   weights  [N, K] in FORMAT, rows row_bytes apart (block_formats.opencl)
//   bias     [N] float from element bias_offset, read where has_bias
//   y        [rows, N] float, rows y_stride elements apart, from element y_offset
// Order of sums: 256 consecutive k's by fma in order, then these partial sums in order; the same in both kernels
// and in the CPU-class ones, so a row does not depend on its batch.
// matmul_tiled: many rows; 64 × 64 outputs a group of 16 × 16 items through local memory.
// matmul_columns: few rows; groups of COLUMNS × CHUNKS items, one item a column and a chunk of 256 k's.
// Tunable: COLUMNS, CHUNKS.
// Check: -DFORMAT=0,1,2,3,4,5,6,7,8,9,10
#ifndef COLUMNS
#define COLUMNS 8
#endif
#ifndef CHUNKS
#define CHUNKS 8
#endif
#define CHUNK 256u
#define TILE 64
#define DEPTH 16

kernel __attribute__((reqd_work_group_size(16, 16, 1))) void matmul_tiled(
    global const float *x, uint x_offset, uint x_stride, global const uchar *weights, ulong row_bytes,
    global const float *bias, uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
    uint rows, uint K, uint N) {
  local float x_tile[DEPTH][TILE + 4];
  local float w_tile[DEPTH][TILE + 4];
  const uint column_item = get_local_id(0), row_item = get_local_id(1);
  const uint item = row_item * 16 + column_item;
  const uint first_column = get_group_id(0) * TILE, first_row = get_group_id(1) * TILE;
  float total[4][4], sum[4][4];
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) {
      total[i][j] = -0.0f;
      sum[i][j] = 0.0f;
    }
  }
  for (uint k0 = 0; k0 < K; k0 += DEPTH) {
    for (uint e = item; e < TILE * DEPTH; e += 256) {
      const uint r = first_row + e / DEPTH, k = k0 + e % DEPTH;
      x_tile[e % DEPTH][e / DEPTH] = r < rows && k < K ? x[x_offset + (size_t)r * x_stride + k] : 0.0f;
    }
    if (item < TILE * DEPTH / 8) {
      const uint c = item / (DEPTH / 8), k = item % (DEPTH / 8) * 8;
      float8 w = (float8)(0.0f);
      if (first_column + c < N && k0 + k < K) {
        w = block_unpack8(weights + (size_t)(first_column + c) * row_bytes, k0 + k, K);
      }
      w_tile[k][c] = w.s0;
      w_tile[k + 1][c] = w.s1;
      w_tile[k + 2][c] = w.s2;
      w_tile[k + 3][c] = w.s3;
      w_tile[k + 4][c] = w.s4;
      w_tile[k + 5][c] = w.s5;
      w_tile[k + 6][c] = w.s6;
      w_tile[k + 7][c] = w.s7;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const uint depth = min((uint)DEPTH, K - k0);
    for (uint k = 0; k < depth; ++k) {
      float a[4], b[4];
      for (uint i = 0; i < 4; ++i) a[i] = x_tile[k][row_item + 16 * i];
      for (uint j = 0; j < 4; ++j) b[j] = w_tile[k][column_item + 16 * j];
      for (uint i = 0; i < 4; ++i) {
        for (uint j = 0; j < 4; ++j) sum[i][j] = fma(a[i], b[j], sum[i][j]);
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if ((k0 + DEPTH) % CHUNK == 0 || k0 + DEPTH >= K) {
      for (uint i = 0; i < 4; ++i) {
        for (uint j = 0; j < 4; ++j) {
          total[i][j] += sum[i][j];
          sum[i][j] = 0.0f;
        }
      }
    }
  }
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) {
      const uint r = first_row + row_item + 16 * i, c = first_column + column_item + 16 * j;
      if (r < rows && c < N) {
        y[y_offset + (size_t)r * y_stride + c] = total[i][j] + (has_bias ? bias[bias_offset + c] : -0.0f);
      }
    }
  }
}

kernel __attribute__((reqd_work_group_size(CHUNKS, COLUMNS, 1))) void matmul_columns(
    global const float *x, uint x_offset, uint x_stride, global const uchar *weights, ulong row_bytes,
    global const float *bias, uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
    uint rows, uint K, uint N) {
  local float partial[COLUMNS][CHUNKS];
  const uint lane = get_local_id(0), place = get_local_id(1);
  const uint column = get_global_id(1);
  const uint row = get_group_id(2);
  global const float *input = x + x_offset + (size_t)row * x_stride;
  global const uchar *stored = weights + (size_t)min(column, N - 1) * row_bytes;
  float total = -0.0f;
  for (uint first = 0; first < K; first += CHUNK * CHUNKS) {
    const uint start = first + lane * CHUNK;
    float sum = 0.0f;
    for (uint k = start; k < min(start + CHUNK, K); k += 8) {
      float w[8];
      vstore8(block_unpack8(stored, k, K), 0, w);
      for (uint i = 0; i < min(8u, K - k); ++i) sum = fma(input[k + i], w[i], sum);
    }
    partial[place][lane] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lane == 0) {
      for (uint i = 0; i < CHUNKS && first + i * CHUNK < K; ++i) total += partial[place][i];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (lane == 0 && column < N) {
    y[y_offset + (size_t)row * y_stride + column] = total + (has_bias ? bias[bias_offset + column] : -0.0f);
  }
}

// Rounds stored rows to bf16. Launch: (ceil(K / 8), rows) items.
kernel void convert_bf16(global const uchar *rows_in, ulong row_bytes, global ushort *rows_out, uint first_row,
                         uint K) {
  const uint k = get_global_id(0) * 8;
  const size_t row = get_global_id(1);
  float values[8];
  vstore8(block_unpack8(rows_in + row * row_bytes, k, K), 0, values);
  for (uint i = 0; i < min(8u, K - k); ++i) {
    const uint bits = as_uint(values[i]);
    const uint rounded = isnan(values[i]) ? bits >> 16 | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rows_out[(first_row + row) * K + k + i] = (ushort)rounded;
  }
}
