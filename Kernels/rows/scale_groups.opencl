// Group j of every row times factors[row, j].
//
//   x        [rows, groups · group_width] float, rows x_stride elements apart, from element x_offset
//   factors  [rows, groups] float, rows factors_stride elements apart, from element factors_offset
//   y        [rows, groups · group_width] float, packed
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void scale_groups(global const float *x, uint x_offset, uint x_stride, global const float *factors,
                         uint factors_offset, uint factors_stride, uint group_width, global float *y,
                         uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  global const float *input = x + x_offset + row * x_stride;
  global const float *factor = factors + factors_offset + row * factors_stride;
  global float *output = y + row * width;
  if (group_width == 1) {
    for (uint c = first; c < last; c += VEC) {
      store_real(load_real(input + c, last - c) * load_real(factor + c, last - c), output + c, last - c);
    }
    return;
  }
  for (uint c = first; c < last;) {
    // The part of a group that lies in the segment.
    const uint end = min(last, (c / group_width + 1) * group_width);
    const real f = splat(factor[c / group_width]);
    for (; c < end; c += VEC) store_real(load_real(input + c, end - c) * f, output + c, end - c);
    c = end;
  }
}
