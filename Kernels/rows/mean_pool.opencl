// The mean of each sequence's rows.
//
//   x       [rows, width] float, rows x_stride elements apart, from element x_offset
//   starts  [sequences + 1] int: first row of each sequence, and the end
//   y       [sequences, width] float, packed
// Order: rows from the first on. Launch: ceil(width / VEC) × sequences items. Tunable: VEC.

kernel void mean_pool(global const float *x, uint x_offset, uint x_stride, global const int *starts,
                      global float *y, uint width) {
  const size_t sequence = get_global_id(1);
  const uint c = get_global_id(0) * VEC;
  if (c >= width) return;
  const int first = starts[sequence], end = starts[sequence + 1];
  real sum = splat(0.0f);
  for (int row = first; row < end; ++row) {
    sum += load_real(x + x_offset + (size_t)row * x_stride + c, width - c);
  }
  store_real(sum * splat(1.0f / (float)(end - first)), y + sequence * width + c, width - c);
}
