// dx = y · (g − Σ g y), row by row, for y = softmax(x).
//
//   g, result  [rows, width] float, rows *_stride elements apart, from element *_offset
//   y          [rows, width] float, packed: dx
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).

kernel GROUP_KERNEL void softmax_gradient(global const float *g, uint g_offset, uint g_stride, global const float *result,
                             uint result_offset, uint result_stride, global float *y, uint width) {
  GROUP_LOCAL(scratch);
  ROW(held_upstream);
  ROW(held_weights);
  const size_t row = GROUP_ROW;
  global const float *upstream = g + g_offset + row * g_stride;
  global const float *weights = result + result_offset + row * result_stride;
  real sum = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real u = KEEP(held_upstream, i, load_real(upstream + c, width - c));
    sum = fma(u, KEEP(held_weights, i, load_real(weights + c, width - c)), sum);
  }
  const real along = splat(GROUP_SUM(sum_lanes(sum), scratch));
  FOR_ROW(i, c, width) {
    const real d = KEPT(held_upstream, i, load_real(upstream + c, width - c)) - along;
    const real w = KEPT(held_weights, i, load_real(weights + c, width - c));
    store_real(d * w, y + row * width + c, width - c);
  }
}
