// y[i, j] = x[i, j] · factors[j] + bias[j].
//
//   x              [rows, width] float, rows x_stride elements apart, from element x_offset
//   factors, bias  [width] float, from elements factors_offset and bias_offset; bias is read where has_bias is 1
//   y              [rows, width] float, packed
// Launch: ceil(width / SEGMENT) × rows items. Tunable: VEC, SEGMENT (columns of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void scale_columns(global const float *x, uint x_offset, uint x_stride, global const float *factors,
                          uint factors_offset, global const float *bias, uint bias_offset, int has_bias,
                          global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * SEGMENT;
  const uint last = min(first + SEGMENT, width);
  for (uint c = first; c < last; c += VEC) {
    const real v = load_real(x + x_offset + row * x_stride + c, last - c);
    const real b = has_bias ? load_real(bias + bias_offset + c, last - c) : splat(0.0f);
    store_real(v * load_real(factors + factors_offset + c, last - c) + b, y + row * width + c, last - c);
  }
}
