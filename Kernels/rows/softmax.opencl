// y = exp(x − max) / Σ exp(x − max), row by row.
//
//   x  [rows, width] float, rows x_stride elements apart, from element x_offset
//   y  [rows, width] float, packed
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD (vector_math.opencl).
// Check: -DVEC=4 -DHELD=0
// Check: -DVEC=4 -DHELD=8 -DALIGNED=1 -DWARP=1

kernel GROUP_KERNEL void softmax(global const float *x, uint x_offset, uint x_stride, global float *y, uint width) {
  GROUP_LOCAL(scratch);
  ROW(held);
  const size_t row = GROUP_ROW;
  global const float *input = x + x_offset + row * x_stride;
  global float *output = y + row * width;
  real highest = splat(-INFINITY);
  FOR_ROW(i, c, width) {
    const real v = KEEP(held, i, load_real(input + c, width - c));
    highest = fmax(highest, keep_lanes(v, width - c, -INFINITY));
  }
  const real peak = splat(GROUP_MAX(max_lanes(highest), scratch));
  real sum = splat(0.0f);
  FOR_ROW(i, c, width) {
    const real e = exp_real(KEPT(held, i, load_real(input + c, width - c)) - peak);
    sum += keep_lanes(e, width - c, 0.0f);
#if HELD
    KEEP(held, i, e);
#else
    store_real(e, output + c, width - c);
#endif
  }
  const real factor = splat(1.0f / GROUP_SUM(sum_lanes(sum), scratch));
  FOR_ROW(i, c, width) {
    store_real(KEPT(held, i, load_real(output + c, width - c)) * factor, output + c, width - c);
  }
}
