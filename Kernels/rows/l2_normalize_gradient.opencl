// dx = (g − x (g·x) / |x|²) / |x|, row by row, or g / epsilon where |x| ≤ epsilon.
//
//   g, x  [rows, width] float, rows *_stride elements apart, from element *_offset
//   y     [rows, width] float, packed: dx
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).

kernel GROUP_KERNEL void l2_normalize_gradient(global const float *g, uint g_offset, uint g_stride, global const float *x,
                                  uint x_offset, uint x_stride, global float *y, uint width, float epsilon) {
  GROUP_LOCAL(scratch);
  ROW(held);
  ROW(held_upstream);
  const size_t row = GROUP_ROW;
  global const float *upstream = g + g_offset + row * g_stride;
  global const float *input = x + x_offset + row * x_stride;
  real squares = splat(0.0f), dots = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real v = KEEP(held, i, load_real(input + c, width - c));
    squares = fma(v, v, squares);
    dots = fma(v, KEEP(held_upstream, i, load_real(upstream + c, width - c)), dots);
  }
  const float norm = sqrt(GROUP_SUM(sum_lanes(squares), scratch));
  const float dot = GROUP_SUM(sum_lanes(dots), scratch);
  const float factor = 1.0f / (norm < epsilon ? epsilon : norm);
  // Factor by factor, so that a short row does not overflow.
  const float along = norm > epsilon ? dot * factor * factor : 0.0f;
  FOR_ROW(i, c, width) {
    const real v = KEPT(held, i, load_real(input + c, width - c));
    const real own = KEPT(held_upstream, i, load_real(upstream + c, width - c));
    const real d = fma(v, splat(0.0f - along), own);
    store_real(d * splat(factor), y + row * width + c, width - c);
  }
}
