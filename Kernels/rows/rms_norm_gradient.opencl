// dx of y = x · s · weight with s = 1 / sqrt(mean(x²) + epsilon), row by row: s · (g w − x · s² · mean(g w x)).
//
//   g, x        [rows, width] float, rows *_stride elements apart, from element *_offset
//   weight      [width] float, from element weight_offset
//   y           [rows, width] float, packed: dx
//   statistics  [rows, 2] float: 0 and s, for the weight's gradient (column_sums.opencl)
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1

kernel GROUP_KERNEL void rms_norm_gradient(global const float *g, uint g_offset, uint g_stride, global const float *x,
                              uint x_offset, uint x_stride, global const float *weight, uint weight_offset,
                              global float *y, global float *statistics, uint width, float epsilon) {
  GROUP_LOCAL(scratch);
  ROW(held);
  ROW(held_products);
  const size_t row = GROUP_ROW;
  global const float *upstream = g + g_offset + row * g_stride;
  global const float *input = x + x_offset + row * x_stride;
  global const float *w = weight + weight_offset;
  real squares = splat(0.0f), dots = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEEP(held, i, load_real(input + c, width - c));
    const real gw = load_real(upstream + c, width - c) * load_real(w + c, width - c);
    squares = fma(v, v, squares);
    dots = fma(KEEP(held_products, i, gw), v, dots);
  }
  const float s = 1.0f / sqrt(GROUP_SUM(sum_lanes(squares), scratch) / (float)width + epsilon);
  const float along = GROUP_SUM(sum_lanes(dots), scratch) / (float)width * s * s;
  FOR_ROW(i, c, width) {
    const real gw = KEPT(held_products, i, load_real(upstream + c, width - c) * load_real(w + c, width - c));
    const real d = fma(KEPT(held, i, load_real(input + c, width - c)), splat(0.0f - along), gw);
    store_real(d * splat(s), y + row * width + c, width - c);
  }
  if (GROUP_ITEM == 0) {
    statistics[2 * row] = 0.0f;
    statistics[2 * row + 1] = s;
  }
}
