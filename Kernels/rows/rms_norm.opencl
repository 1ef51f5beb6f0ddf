// y = x / sqrt(mean(x²) + epsilon) · weight, row by row.
//
//   x       [rows, width] float, rows x_stride elements apart, from element x_offset
//   weight  [width] float, from element weight_offset
//   y       [rows, width] float, packed
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1

kernel GROUP_KERNEL void rms_norm(global const float *x, uint x_offset, uint x_stride, global const float *weight,
                                  uint weight_offset, global float *y, uint width, float epsilon) {
  GROUP_LOCAL(scratch);
  ROW(held);
  const size_t row = GROUP_ROW;
  global const float *input = x + x_offset + row * x_stride;
  global float *output = y + row * width;
  real squares = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEEP(held, i, load_real(input + c, width - c));
    squares = fma(v, v, squares);
  }
  const float total = GROUP_SUM(sum_lanes(squares), scratch);
  const real factor = splat(1.0f / sqrt(total / (float)width + epsilon));
  FOR_ROW(i, c, width) {
    const real v = KEPT(held, i, load_real(input + c, width - c)) * factor;
    store_real(v * load_real(weight + weight_offset + c, width - c), output + c, width - c);
  }
}
