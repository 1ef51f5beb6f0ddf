// y = op(a) op(b) + bias, or y += …, on GPU-class devices.
//
//   a     element (i, k) at a_offset + i · a_row + k · a_term; one of the two steps is 1
//   b     element (k, j) at b_offset + k · b_term + j · b_column; one of the two steps is 1
//   bias  [n] float from element bias_offset, read where has_bias
//   y     [m, n] float, rows y_stride elements apart, from element y_offset; added to where accumulate
// Order of sums: what is there plus the bias, then an element's terms by fma in the order of k.
// Launch: groups of 16 × 16 items, 64 × 64 elements each, through local memory.
#define TILE 64
#define DEPTH 16

kernel __attribute__((reqd_work_group_size(16, 16, 1))) void product_tiled(
    global const float *a, uint a_offset, uint a_row, uint a_term, global const float *b, uint b_offset,
    uint b_term, uint b_column, global const float *bias, uint bias_offset, int has_bias, global float *y,
    uint y_offset, uint y_stride, int accumulate, uint m, uint n, uint K) {
  local float a_tile[DEPTH][TILE + 4];
  local float b_tile[DEPTH][TILE + 4];
  const uint column_item = get_local_id(0), row_item = get_local_id(1);
  const uint item = row_item * 16 + column_item;
  const uint first_column = get_group_id(0) * TILE, first_row = get_group_id(1) * TILE;
  float sum[4][4];
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) {
      const uint r = first_row + row_item + 16 * i, c = first_column + column_item + 16 * j;
      const int inside = r < m && c < n;
      sum[i][j] = accumulate && inside ? y[y_offset + (size_t)r * y_stride + c] : 0.0f;
      if (has_bias && inside) sum[i][j] += bias[bias_offset + c];
    }
  }
  for (uint k0 = 0; k0 < K; k0 += DEPTH) {
    for (uint e = item; e < TILE * DEPTH; e += 256) {
      // Neighbouring items read along whichever side lies together.
      const uint ai = a_term == 1 ? e / DEPTH : e % TILE, ak = a_term == 1 ? e % DEPTH : e / TILE;
      const uint bj = b_term == 1 ? e / DEPTH : e % TILE, bk = b_term == 1 ? e % DEPTH : e / TILE;
      const uint r = first_row + ai, c = first_column + bj;
      a_tile[ak][ai] = r < m && k0 + ak < K ? a[a_offset + (size_t)r * a_row + (size_t)(k0 + ak) * a_term] : 0.0f;
      b_tile[bk][bj] =
          c < n && k0 + bk < K ? b[b_offset + (size_t)(k0 + bk) * b_term + (size_t)c * b_column] : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const uint depth = min((uint)DEPTH, K - k0);
    for (uint k = 0; k < depth; ++k) {
      float left[4], right[4];
      for (uint i = 0; i < 4; ++i) left[i] = a_tile[k][row_item + 16 * i];
      for (uint j = 0; j < 4; ++j) right[j] = b_tile[k][column_item + 16 * j];
      for (uint i = 0; i < 4; ++i) {
        for (uint j = 0; j < 4; ++j) sum[i][j] = fma(left[i], right[j], sum[i][j]);
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) {
      const uint r = first_row + row_item + 16 * i, c = first_column + column_item + 16 * j;
      if (r < m && c < n) y[y_offset + (size_t)r * y_stride + c] = sum[i][j];
    }
  }
}
