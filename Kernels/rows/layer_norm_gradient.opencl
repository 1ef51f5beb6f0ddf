// dx of y = h · weight + bias with h = (x − mean) · s, s = 1 / sqrt(variance + epsilon), row by row:
// s · (g w − mean(g w) − h · mean(g w h)).
//
//   g, x        [rows, width] float, rows *_stride elements apart, from element *_offset
//   weight      [width] float, from element weight_offset
//   y           [rows, width] float, packed: dx
//   statistics  [rows, 2] float: mean and s, for the weights' gradients (column_sums.opencl)
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1

kernel GROUP_KERNEL void layer_norm_gradient(global const float *g, uint g_offset, uint g_stride, global const float *x,
                                uint x_offset, uint x_stride, global const float *weight, uint weight_offset,
                                global float *y, global float *statistics, uint width, float epsilon) {
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
  FOR_ROW(i, c, width) {
    const real h = (KEPT(held, i, load_real(input + c, width - c)) - splat(mean)) * splat(s);
    const real gw = KEPT(held_products, i, load_real(upstream + c, width - c) * load_real(w + c, width - c));
    store_real(splat(s) * (gw - splat(along_one) - h * splat(along)), y + row * width + c, width - c);
  }
  if (GROUP_ITEM == 0) {
    statistics[2 * row] = mean;
    statistics[2 * row + 1] = s;
  }
}
