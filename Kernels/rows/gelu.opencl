// y = x/2 · (1 + erf(x/√2)), or with TANH its approximation x/2 · (1 + tanh(√(2/π)(x + 0.044715x³))).
//
//   x  [rows, width] float, rows x_stride elements apart, from element x_offset
//   y  [rows, width] float, packed
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif
#ifndef TANH
#define TANH 0
#endif

kernel void gelu(global const float *x, uint x_offset, uint x_stride, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  for (uint c = first; c < last; c += VEC) {
    const real v = load_real(x + x_offset + row * x_stride + c, last - c);
#if TANH
    // x/2 · (1 + tanh(z)) = x / (1 + exp(−2z))
    const real z = splat(0.7978845608028654f) * fma(splat(0.044715f) * v * v, v, v);
    const real r = v / (splat(1.0f) + exp_real(splat(-2.0f) * z));
#else
    // The tail keeps the digits that 1 + erf loses far below zero. Beyond 14 it is 0 in Float32, and the square must
    // not overflow.
    const real size = fabs(v);
    const real b = select(size, splat(14.0f), size > splat(14.0f));
    const real tail = normal_tail(size, real_power_of_two(splat(-0.72134752044448170f) * b * b));
    const real r = v * select(splat(1.0f) - tail, tail, v < splat(0.0f));
#endif
    store_real(r, y + row * width + c, last - c);
  }
}
