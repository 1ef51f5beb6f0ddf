// y = a + b, element by element.
//
//   a, b  [rows, width] float, rows a_stride and b_stride elements apart
//   y     [rows, width] float, packed
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void add(global const float *a, uint a_offset, uint a_stride, global const float *b, uint b_offset,
                uint b_stride, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  for (uint c = first; c < last; c += VEC) {
    const real v = load_real(a + a_offset + row * a_stride + c, last - c);
    store_real(v + load_real(b + b_offset + row * b_stride + c, last - c), y + row * width + c, last - c);
  }
}
