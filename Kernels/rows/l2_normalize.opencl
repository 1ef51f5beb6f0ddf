// y = x / max(|x|, epsilon), row by row.
//
//   x  [rows, width] float, rows x_stride elements apart, from element x_offset
//   y  [rows, width] float, packed
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).

kernel GROUP_KERNEL void l2_normalize(global const float *x, uint x_offset, uint x_stride, global float *y,
                                      uint width, float epsilon) {
  GROUP_LOCAL(scratch);
  ROW(held);
  const size_t row = GROUP_ROW;
  global const float *input = x + x_offset + row * x_stride;
  real squares = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEEP(held, i, load_real(input + c, width - c));
    squares = fma(v, v, squares);
  }
  const float norm = sqrt(GROUP_SUM(sum_lanes(squares), scratch));
  const real factor = splat(1.0f / (norm < epsilon ? epsilon : norm));
  FOR_ROW(i, c, width) {
    store_real(KEPT(held, i, load_real(input + c, width - c)) * factor, y + row * width + c, width - c);
  }
}
