// sum[rows[i]] += g[order[j]] for every j from starts[i] up to starts[i + 1], in this order.
//
//   g      [count, width] float, rows g_stride elements apart, from element g_offset
//   rows   [destinations] int: rows of sum, each once
//   starts [destinations + 1] int: places in `order`
//   order  [count] int: rows of g
//   sum    [·, width] float, rows sum_stride elements apart, from element sum_offset
// Launch: ceil(width / VEC) × destinations items. Tunable: VEC.

kernel void scatter_add_rows(global const float *g, uint g_offset, uint g_stride, global const int *rows,
                             global const int *starts, global const int *order, global float *sum,
                             uint sum_offset, uint sum_stride, uint width) {
  const size_t place = get_global_id(1);
  const uint c = get_global_id(0) * VEC;
  if (c >= width) return;
  global float *output = sum + sum_offset + (size_t)rows[place] * sum_stride + c;
  real total = load_real(output, width - c);
  for (int j = starts[place]; j < starts[place + 1]; ++j) {
    total += load_real(g + g_offset + (size_t)order[j] * g_stride + c, width - c);
  }
  store_real(total, output, width - c);
}
