// y = (x − mean) / sqrt(variance + epsilon) · weight + bias, row by row; the variance is summed after the mean is
// known, so that it does not cancel.
//
//   x             [rows, width] float, rows x_stride elements apart, from element x_offset
//   weight, bias  [width] float, from elements weight_offset and bias_offset
//   y             [rows, width] float, packed
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1

kernel GROUP_KERNEL void layer_norm(global const float *x, uint x_offset, uint x_stride, global const float *weight,
                                    uint weight_offset, global const float *bias, uint bias_offset,
                                    global float *y, uint width, float epsilon) {
  GROUP_LOCAL(scratch);
  ROW(held);
  const size_t row = GROUP_ROW;
  global const float *input = x + x_offset + row * x_stride;
  global float *output = y + row * width;
  real sum = splat(0.0f);
  FOR_ROW(i, c, width) sum += KEEP(held, i, load_real(input + c, width - c));
  const float mean = GROUP_SUM(sum_lanes(sum), scratch) / (float)width;
  real squares = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEPT(held, i, load_real(input + c, width - c)) - splat(mean);
    const real d = keep_lanes(v, width - c, 0.0f);
    squares = fma(d, d, squares);
  }
  const float variance = GROUP_SUM(sum_lanes(squares), scratch) / (float)width;
  const real factor = splat(1.0f / sqrt(variance + epsilon));
  FOR_ROW(i, c, width) {
    const real v = (KEPT(held, i, load_real(input + c, width - c)) - splat(mean)) * factor;
    const real w = load_real(weight + weight_offset + c, width - c);
    store_real(fma(v, w, load_real(bias + bias_offset + c, width - c)), output + c, width - c);
  }
}
