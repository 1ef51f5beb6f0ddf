// y[i] = x[indices[i]], whole rows.
//
//   x        [rows, width] float, rows x_stride elements apart, from element x_offset
//   indices  [count] int, each a row of x
//   y        [count, width] float, packed
// Launch: ceil(width / SEGMENT) × count items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void gather_rows(global const float *x, uint x_offset, uint x_stride, global const int *indices,
                        global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  global const float *input = x + x_offset + (size_t)indices[row] * x_stride;
  for (uint c = first; c < last; c += VEC) {
    store_real(load_real(input + c, last - c), y + row * width + c, last - c);
  }
}
