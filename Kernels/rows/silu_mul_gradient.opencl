// The gradients of silu(gate) · up: g · up · s (1 + gate (1 − s)) and g · gate · s, with s = σ(gate).
//
//   g, gate, up    [rows, width] float, rows *_stride elements apart, from element *_offset
//   up_gradient    [rows, width] float, packed
//   y              [rows, width] float, packed: the gradient of gate
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void silu_mul_gradient(global const float *g, uint g_offset, uint g_stride, global const float *gate,
                              uint gate_offset, uint gate_stride, global const float *up, uint up_offset,
                              uint up_stride, global float *up_gradient, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  for (uint c = first; c < last; c += VEC) {
    const real v = load_real(gate + gate_offset + row * gate_stride + c, last - c);
    const real upstream = load_real(g + g_offset + row * g_stride + c, last - c);
    const real s = splat(1.0f) / (splat(1.0f) + exp_real(-v));
    const real u = load_real(up + up_offset + row * up_stride + c, last - c);
    store_real(upstream * u * s * fma(v, splat(1.0f) - s, splat(1.0f)), y + row * width + c, last - c);
    store_real(upstream * v * s, up_gradient + row * width + c, last - c);
  }
}
