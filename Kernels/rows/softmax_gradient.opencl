// dx = y · (g − Σ g y), row by row, for y = softmax(x).
//
//   g, result  [rows, width] float, rows *_stride elements apart, from element *_offset
//   y          [rows, width] float, packed: dx
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP (vector_math.opencl).

kernel void softmax_gradient(global const float *g, uint g_offset, uint g_stride, global const float *result,
                             uint result_offset, uint result_stride, global float *y, uint width) {
  GROUP_LOCAL(scratch);
  const size_t row = get_group_id(1);
  global const float *upstream = g + g_offset + row * g_stride;
  global const float *weights = result + result_offset + row * result_stride;
  real sum = splat(0.0f);
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) {
    sum = fma(load_real(upstream + c, width - c), load_real(weights + c, width - c), sum);
  }
  const real along = splat(GROUP_SUM(sum_lanes(sum), scratch));
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) {
    const real d = load_real(upstream + c, width - c) - along;
    store_real(d * load_real(weights + c, width - c), y + row * width + c, width - c);
  }
}
