// sum = a + b and y = sum / sqrt(mean(sum²) + epsilon) · weight, row by row: add and rms_norm in one pass, to their bits.
//
//   a, b    [rows, width] float, rows a_stride and b_stride elements apart, from element a_offset and b_offset
//   weight  [width] float, from element weight_offset
//   sum, y  [rows, width] float, packed
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1

kernel GROUP_KERNEL void add_rms_norm(global const float *a, uint a_offset, uint a_stride, global const float *b,
                                      uint b_offset, uint b_stride, global const float *weight,
                                      uint weight_offset, global float *sum, global float *y, uint width,
                                      float epsilon) {
  GROUP_LOCAL(scratch);
  ROW(held);
  const size_t row = GROUP_ROW;
  global const float *left = a + a_offset + row * a_stride;
  global const float *right = b + b_offset + row * b_stride;
  global float *added = sum + row * width;
  global float *output = y + row * width;
  real squares = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEEP(held, i, load_real(left + c, width - c) + load_real(right + c, width - c));
    store_real(v, added + c, width - c);
    squares = fma(v, v, squares);
  }
  const float total = GROUP_SUM(sum_lanes(squares), scratch);
  const real factor = splat(1.0f / sqrt(total / (float)width + epsilon));
  // Every item reads back what it wrote itself.
  FOR_ROW(i, c, width) {
    const real v = KEPT(held, i, load_real(added + c, width - c)) * factor;
    store_real(v * load_real(weight + weight_offset + c, width - c), output + c, width - c);
  }
}
