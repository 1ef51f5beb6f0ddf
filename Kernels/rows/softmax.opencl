// y = exp(x − max) / Σ exp(x − max), row by row.
//
//   x  [rows, width] float, rows x_stride elements apart, from element x_offset
//   y  [rows, width] float, packed
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP (vector_math.opencl).

kernel void softmax(global const float *x, uint x_offset, uint x_stride, global float *y, uint width) {
  GROUP_LOCAL(scratch);
  const size_t row = get_group_id(1);
  global const float *input = x + x_offset + row * x_stride;
  global float *output = y + row * width;
  real highest = splat(-INFINITY);
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) {
    highest = fmax(highest, keep_lanes(load_real(input + c, width - c), width - c, -INFINITY));
  }
  const real peak = splat(GROUP_MAX(max_lanes(highest), scratch));
  real sum = splat(0.0f);
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) {
    const real e = exp_real(load_real(input + c, width - c) - peak);
    sum += keep_lanes(e, width - c, 0.0f);
    store_real(e, output + c, width - c);
  }
  const real factor = splat(1.0f / GROUP_SUM(sum_lanes(sum), scratch));
  for (uint c = GROUP_ITEM * VEC; c < width; c += GROUP * VEC) {
    store_real(load_real(output + c, width - c) * factor, output + c, width - c);
  }
}
