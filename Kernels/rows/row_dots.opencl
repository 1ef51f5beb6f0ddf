// The dot products of corresponding groups of two rows.
//
//   a, b  [rows, groups · group_width] float, rows *_stride elements apart, from element *_offset
//   y     [rows, groups] float, packed
// Launch: (GROUP · groups) × rows items in groups of GROUP. Tunable: VEC, GROUP (vector_math.opencl).

kernel GROUP_KERNEL void row_dots(global const float *a, uint a_offset, uint a_stride, global const float *b, uint b_offset,
                     uint b_stride, global float *y, uint groups, uint group_width) {
  GROUP_LOCAL(scratch);
  const uint place = get_group_id(0);
  const size_t row = GROUP_ROW;
  global const float *left = a + a_offset + row * a_stride + place * group_width;
  global const float *right = b + b_offset + row * b_stride + place * group_width;
  real sum = splat(0.0f);
  for (uint c = GROUP_ITEM * VEC; c < group_width; c += GROUP * VEC) {
    sum = fma(load_real(left + c, group_width - c), load_real(right + c, group_width - c), sum);
  }
  const float total = GROUP_SUM(sum_lanes(sum), scratch);
  if (GROUP_ITEM == 0) y[row * groups + place] = total;
}
