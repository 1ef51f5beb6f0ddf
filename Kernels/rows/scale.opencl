// y = factor · x, element by element.
//
//   x  [rows, width] float, rows x_stride elements apart, from element x_offset
//   y  [rows, width] float, packed
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void scale(global const float *x, uint x_offset, uint x_stride, float factor, global float *y,
                  uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  for (uint c = first; c < last; c += VEC) {
    const real v = load_real(x + x_offset + row * x_stride + c, last - c);
    store_real(v * splat(factor), y + row * width + c, last - c);
  }
}
