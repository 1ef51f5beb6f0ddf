// dx of a layer norm and dropout's gradient of it: layer_norm_gradient and dropout in one pass, to their bits.
//
//   g, x        [rows, width] float, rows *_stride elements apart, from element *_offset; x is the forward's sum
//   weight      [width] float, from element weight_offset
//   y           [rows, width] float, packed: dx
//   statistics  [rows, 2] float: mean and s, for the weights' gradients (column_sums.opencl)
//   kept        [rows, width] float, packed: what of dx dropout keeps, times `factor` (dropout_draws.opencl, which comes
//               before); not written without DRAWS
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0 -DDRAWS=1
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1 -DDRAWS=1
#ifndef DRAWS
#define DRAWS 0
#endif

kernel GROUP_KERNEL void residual_norm_gradient(global const float *g, uint g_offset, uint g_stride,
                                                global const float *x, uint x_offset, uint x_stride,
                                                global const float *weight, uint weight_offset, global float *y,
                                                global float *statistics, uint width, float epsilon, ulong key,
                                                ulong stream, uint threshold, float factor, global float *kept) {
  GROUP_LOCAL(scratch);
  ROW(held);
  ROW(held_products);
  const size_t row = GROUP_ROW;
  global const float *upstream = g + g_offset + row * g_stride;
  global const float *input = x + x_offset + row * x_stride;
  global const float *w = weight + weight_offset;
  real sum = splat(0.0f), ones = splat(0.0f);
  FOR_ROW(i, c, width) {
    sum += KEEP(held, i, load_real(input + c, width - c));
    const real u = load_real(upstream + c, width - c), weights = load_real(w + c, width - c);
    ones = fma(u, weights, ones);
    (void)KEEP(held_products, i, u * weights);
  }
  const float mean = GROUP_SUM(sum_lanes(sum), scratch) / (float)width;
  const float along_one = GROUP_SUM(sum_lanes(ones), scratch) / (float)width;
  real squares = splat(0.0f), dots = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEPT(held, i, load_real(input + c, width - c)) - splat(mean);
    const real d = keep_lanes(v, width - c, 0.0f);
    squares = fma(d, d, squares);
    dots = fma(KEPT(held_products, i, load_real(upstream + c, width - c) * load_real(w + c, width - c)), d, dots);
  }
  const float variance = GROUP_SUM(sum_lanes(squares), scratch) / (float)width;
  const float s = 1.0f / sqrt(variance + epsilon);
  const float along = GROUP_SUM(sum_lanes(dots), scratch) / (float)width * s;
#if DRAWS
  draw_word words[DRAW_WORDS];
#endif
  FOR_ROW(i, c, width) {
    const real h = (KEPT(held, i, load_real(input + c, width - c)) - splat(mean)) * splat(s);
    const real gw = KEPT(held_products, i, load_real(upstream + c, width - c) * load_real(w + c, width - c));
    const real dx = splat(s) * (gw - splat(along_one) - h * splat(along));
    store_real(dx, y + row * width + c, width - c);
#if DRAWS
    if (DRAWS_AT(c)) draw_dropout(row, width, c, key, stream, words);
    store_real(keep_drawn(dx * splat(factor), words, c, threshold), kept + row * width + c, width - c);
#endif
  }
  if (GROUP_ITEM == 0) {
    statistics[2 * row] = mean;
    statistics[2 * row + 1] = s;
  }
}
