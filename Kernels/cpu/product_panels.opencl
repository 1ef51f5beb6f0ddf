// y = op(a) op(b) + bias, or y += …, on CPU-class devices: b is laid out in panels of 32 columns first.
//
//   a       element (i, k) at a_offset + i · a_row + k · a_term
//   b       element (k, j) at b_offset + k · b_term + j · b_column
//   panels  [ceil(n / 32), K, 32] float: columns of op(b), 0 beyond the last
//   bias    [n] float from element bias_offset, read where has_bias
//   y       [m, n] float, rows y_stride elements apart, from element y_offset; added to where accumulate
// Order of sums: what is there plus the bias, then an element's terms by fma in the order of k.
// Launch: product_pack ceil(n / 32) × ceil(K / 64) items; product_panels ceil(m / ROWS) × ceil(n / 32) items, no
// barrier. Tunable: ROWS.
#ifndef ROWS
#define ROWS 6
#endif

kernel void product_pack(global const float *b, uint b_offset, uint b_term, uint b_column, global float *panels,
                         uint n, uint K) {
  const uint panel = get_global_id(0), first = get_global_id(1) * 64;
  const uint columns = min(32u, n - panel * 32);
  global const float *source = b + b_offset + (size_t)(panel * 32) * b_column;
  global float *target = panels + (size_t)panel * K * 32;
  for (uint k = first; k < min(K, first + 64); ++k) {
    for (uint j = 0; j < 32; ++j) {
      target[(size_t)k * 32 + j] = j < columns ? source[(size_t)k * b_term + (size_t)j * b_column] : 0.0f;
    }
  }
}

float16 product_load(global const float *p, uint first, uint n) {
  if (first + 16 <= n) return vload16(0, p + first);
  float values[16];
  for (uint j = 0; j < 16; ++j) values[j] = first + j < n ? p[first + j] : 0.0f;
  return vload16(0, values);
}

void product_store(float16 sum, global float *p, uint first, uint n) {
  if (first + 16 <= n) {
    vstore16(sum, 0, p + first);
    return;
  }
  float values[16];
  vstore16(sum, 0, values);
  for (uint j = 0; j < 16 && first + j < n; ++j) p[first + j] = values[j];
}

kernel void product_panels(global const float *a, uint a_offset, uint a_row, uint a_term,
                           global const float *panels, global const float *bias, uint bias_offset, int has_bias,
                           global float *y, uint y_offset, uint y_stride, int accumulate, uint m, uint n,
                           uint K) {
  const uint first = get_global_id(0) * ROWS, panel = get_global_id(1);
  global const float *right = panels + (size_t)panel * K * 32;
  global const float *left[ROWS];
  float16 low[ROWS], high[ROWS];
#pragma unroll
  for (uint i = 0; i < ROWS; ++i) {
    // Rows beyond the last repeat it and are not written.
    const size_t row = min(first + i, m - 1);
    left[i] = a + a_offset + row * a_row;
    low[i] = (float16)(0.0f);
    high[i] = (float16)(0.0f);
    if (accumulate) {
      low[i] = product_load(y + y_offset + row * y_stride, panel * 32, n);
      high[i] = product_load(y + y_offset + row * y_stride, panel * 32 + 16, n);
    }
    if (has_bias) {
      low[i] += product_load(bias + bias_offset, panel * 32, n);
      high[i] += product_load(bias + bias_offset, panel * 32 + 16, n);
    }
  }
  for (uint k = 0; k < K; ++k) {
    const float16 b0 = vload16(0, right + (size_t)k * 32), b1 = vload16(1, right + (size_t)k * 32);
#pragma unroll
    for (uint i = 0; i < ROWS; ++i) {
      const float16 v = (float16)(left[i][(size_t)k * a_term]);
      low[i] = fma(v, b0, low[i]);
      high[i] = fma(v, b1, high[i]);
    }
  }
#pragma unroll
  for (uint i = 0; i < ROWS; ++i) {
    if (first + i >= m) break;
    global float *output = y + y_offset + (size_t)(first + i) * y_stride;
    product_store(low[i], output, panel * 32, n);
    product_store(high[i], output, panel * 32 + 16, n);
  }
}
