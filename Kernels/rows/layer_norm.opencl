// y = (x − mean) / sqrt(variance + epsilon) · weight + bias, row by row; two passes, so that the variance does
// not cancel.
//
//   x             [rows, width] float, rows x_stride elements apart, from element x_offset
//   weight, bias  [width] float, from elements weight_offset and bias_offset
//   y             [rows, width] float, packed
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP (vector_math.opencl).

kernel void layer_norm(global const float *x, uint x_offset, uint x_stride, global const float *weight,
                       uint weight_offset, global const float *bias, uint bias_offset, global float *y,
                       uint width, float epsilon) {
  GROUP_LOCAL(scratch);
  const size_t row = get_group_id(1);
  global const float *input = x + x_offset + row * x_stride;
  global float *output = y + row * width;
  real sum = splat(0.0f);
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) sum += load_real(input + c, width - c);
  const float mean = GROUP_SUM(sum_lanes(sum), scratch) / (float)width;
  real squares = splat(0.0f);
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) {
    const real v = keep_lanes(load_real(input + c, width - c) - splat(mean), width - c, 0.0f);
    squares = fma(v, v, squares);
  }
  const float variance = GROUP_SUM(sum_lanes(squares), scratch) / (float)width;
  const real factor = splat(1.0f / sqrt(variance + epsilon));
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) {
    const real v = (load_real(input + c, width - c) - splat(mean)) * factor;
    const real w = load_real(weight + weight_offset + c, width - c);
    store_real(fma(v, w, load_real(bias + bias_offset + c, width - c)), output + c, width - c);
  }
}
