// dx = g · d gelu(x) / dx: Φ(x) + x φ(x), or with TANH the derivative of its approximation.
//
//   g, x     [rows, width] float, rows *_stride elements apart, from element *_offset
//   y        [rows, width] float, packed: dx
//   partial  [blocks, width] float: sums of dx over BLOCK_ROWS rows, in the order of column_sums.opencl
// Launch: gelu_gradient ceil(width / SEGMENT) × rows items, gelu_gradient_sums ceil(width / (STRIP · VEC)) × blocks.
// Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif
#ifndef TANH
#define TANH 0
#endif
#define BLOCK_ROWS 64
// Vectors of an item that sums columns.
#define STRIP (GROUP == 1 ? 8 : 1)

real gelu_slope(real v) {
#if TANH
  // σ(2z) + 2x σ(2z) (1 − σ(2z)) z', where e / (1 + e)² keeps the digits of 1 − σ; at ±10 the limits are reached
  // (by select, since fmin and fmax make a number of what is none).
  const real low = select(v, splat(-10.0f), v < splat(-10.0f));
  const real b = select(low, splat(10.0f), low > splat(10.0f));
  const real z = splat(0.7978845608028654f) * fma(splat(0.044715f) * b * b, b, b);
  const real e = exp_real(splat(-2.0f) * z);
  const real s = splat(1.0f) / (splat(1.0f) + e);
  const real slope = splat(0.7978845608028654f) * fma(splat(0.134145f) * b, b, splat(1.0f));
  const real r = fma(splat(2.0f) * b * (e * s), s * slope, s);
#else
  // Beyond 14 the bell is 0 in Float32, and the square must not overflow.
  const real size = fabs(v);
  const real b = select(size, splat(14.0f), size > splat(14.0f));
  const real bell = real_power_of_two(splat(-0.72134752044448170f) * b * b);
  const real tail = normal_tail(size, bell);
  const real slope = b * splat(0.3989422804014327f) * bell;
  const real r = select(splat(1.0f) - tail + slope, tail - slope, v < splat(0.0f));
#endif
  return r;
}

kernel void gelu_gradient(global const float *g, uint g_offset, uint g_stride, global const float *x,
                          uint x_offset, uint x_stride, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  for (uint c = first; c < last; c += VEC) {
    const real slope = gelu_slope(load_real(x + x_offset + row * x_stride + c, last - c));
    store_real(slope * load_real(g + g_offset + row * g_stride + c, last - c), y + row * width + c, last - c);
  }
}

kernel void gelu_gradient_sums(global const float *g, uint g_offset, uint g_stride, global const float *x,
                               uint x_offset, uint x_stride, global float *y, global float *partial, uint rows,
                               uint width) {
  const size_t block = get_global_id(1);
  const uint first = get_global_id(0) * STRIP * VEC;
  if (first >= width) return;
  const uint last = min(first + STRIP * VEC, width);
  real sums[STRIP];
  for (uint i = 0; i < STRIP; ++i) sums[i] = splat(0.0f);
  for (size_t row = block * BLOCK_ROWS; row < min((size_t)rows, (block + 1) * BLOCK_ROWS); ++row) {
    for (uint i = 0, c = first; c < last; ++i, c += VEC) {
      const real slope = gelu_slope(load_real(x + x_offset + row * x_stride + c, last - c));
      const real dx = slope * load_real(g + g_offset + row * g_stride + c, last - c);
      store_real(dx, y + row * width + c, last - c);
      sums[i] += dx;
    }
  }
  for (uint i = 0, c = first; c < last; ++i, c += VEC) store_real(sums[i], partial + block * width + c, last - c);
}
