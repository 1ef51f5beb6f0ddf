// dx = g · (1 − y²) for y = tanh(x).
//
//   g, result  [rows, width] float, rows *_stride elements apart, from element *_offset
//   y          [rows, width] float, packed: dx
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void tanh_gradient(global const float *g, uint g_offset, uint g_stride, global const float *result,
                          uint result_offset, uint result_stride, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  for (uint c = first; c < last; c += VEC) {
    const real v = load_real(result + result_offset + row * result_stride + c, last - c);
    const real upstream = load_real(g + g_offset + row * g_stride + c, last - c);
    store_real(upstream * fma(-v, v, splat(1.0f)), y + row * width + c, last - c);
  }
}
