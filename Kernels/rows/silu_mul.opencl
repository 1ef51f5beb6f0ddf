// y = gate / (1 + exp(−gate)) · up, element by element.
//
//   gate, up  [rows, width] float, rows gate_stride and up_stride elements apart
//   y         [rows, width] float, packed
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void silu_mul(global const float *gate, uint gate_offset, uint gate_stride, global const float *up,
                     uint up_offset, uint up_stride, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  global const float *g = gate + gate_offset + row * gate_stride;
  global const float *u = up + up_offset + row * up_stride;
  for (uint c = first; c < last; c += VEC) {
    const real v = load_real(g + c, last - c);
    const real s = v / (splat(1.0f) + exp_real(-v));
    store_real(s * load_real(u + c, last - c), y + row * width + c, last - c);
  }
}
