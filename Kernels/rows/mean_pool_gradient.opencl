// Shares each sequence's gradient out among its rows: y[row] = g[sequence] / length.
//
//   g       [sequences, width] float, rows g_stride elements apart, from element g_offset
//   starts  [sequences + 1] int: first row of each sequence, and the end
//   y       [rows, width] float, packed
// Launch: ceil(width / VEC) × sequences items. Tunable: VEC.

kernel void mean_pool_gradient(global const float *g, uint g_offset, uint g_stride, global const int *starts,
                               global float *y, uint width) {
  const size_t sequence = get_global_id(1);
  const uint c = get_global_id(0) * VEC;
  if (c >= width) return;
  const int first = starts[sequence], end = starts[sequence + 1];
  const real share =
      load_real(g + g_offset + sequence * g_stride + c, width - c) * splat(1.0f / (float)(end - first));
  for (int row = first; row < end; ++row) store_real(share, y + (size_t)row * width + c, width - c);
}
