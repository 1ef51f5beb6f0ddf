// sum = residual + dropout(x) and y, its layer norm: dropout, add and layer_norm in one pass, to their bits.
//
//   x, residual   [rows, width] float, rows *_stride elements apart, from element *_offset
//   weight, bias  [width] float, from elements weight_offset and bias_offset
//   sum, y        [rows, width] float, packed; without KEEPS_SUM the sum is not written
// With DRAWS what dropout keeps is multiplied by `factor`, without it nothing is dropped. dropout_draws.opencl comes before.
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0 -DDRAWS=1 -DKEEPS_SUM=1
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1 -DDRAWS=1 -DKEEPS_SUM=1
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1
#ifndef DRAWS
#define DRAWS 0
#endif
#ifndef KEEPS_SUM
#define KEEPS_SUM 0
#endif

kernel GROUP_KERNEL void residual_norm(global const float *x, uint x_offset, uint x_stride,
                                       global const float *residual, uint residual_offset, uint residual_stride,
                                       global const float *weight, uint weight_offset, global const float *bias,
                                       uint bias_offset, ulong key, ulong stream, uint threshold, float factor,
                                       global float *sum, global float *y, uint width, float epsilon) {
  GROUP_LOCAL(scratch);
  ROW(held);
  const size_t row = GROUP_ROW;
  global const float *input = x + x_offset + row * x_stride;
  global const float *other = residual + residual_offset + row * residual_stride;
  global float *output = y + row * width;
  // Items that hold nothing read the sum back, each what it wrote itself.
#if KEEPS_SUM
  global float *added = sum + row * width;
#else
  global float *added = output;
#endif
#if DRAWS
  draw_word words[DRAW_WORDS];
#endif
  real total = splat(0.0f);
  FOR_ROW(i, c, width) {
    real v = load_real(input + c, width - c);
#if DRAWS
    if (DRAWS_AT(c)) draw_dropout(row, width, c, key, stream, words);
    v = keep_drawn(v * splat(factor), words, c, threshold);
#endif
    v = KEEP(held, i, load_real(other + c, width - c) + v);
#if KEEPS_SUM || !HELD
    store_real(v, added + c, width - c);
#endif
    total += v;
  }
  const float mean = GROUP_SUM(sum_lanes(total), scratch) / (float)width;
  real squares = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEPT(held, i, load_real(added + c, width - c)) - splat(mean);
    const real d = keep_lanes(v, width - c, 0.0f);
    squares = fma(d, d, squares);
  }
  const float variance = GROUP_SUM(sum_lanes(squares), scratch) / (float)width;
  const real scale = splat(1.0f / sqrt(variance + epsilon));
  FOR_ROW(i, c, width) {
    const real v = (KEPT(held, i, load_real(added + c, width - c)) - splat(mean)) * scale;
    const real w = load_real(weight + weight_offset + c, width - c);
    store_real(fma(v, w, load_real(bias + bias_offset + c, width - c)), output + c, width - c);
  }
}
