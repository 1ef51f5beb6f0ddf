// Sums over rows, in two passes of fixed order: blocks of BLOCK_ROWS rows, then the blocks one after another.
//
//   x, g           [rows, width] float, rows *_stride elements apart, from element *_offset
//   statistics     [rows, 2] float: mean and s of every row; the normalised element is h = (x − mean) · s
//   partial        [blocks, width] float, or for norms [blocks, 2, width]: Σ g h and Σ g
//   sum            [width] float from element sum_offset: what the blocks' sums are added to
// Launch: ceil(width / VEC) × blocks items; column_totals ceil(width / VEC) items. Tunable: VEC.
#define BLOCK_ROWS 64

kernel void column_sums(global const float *x, uint x_offset, uint x_stride, global float *partial, uint rows,
                        uint width) {
  const uint c = get_global_id(0) * VEC, block = get_global_id(1);
  if (c >= width) return;
  real sum = splat(0.0f);
  for (uint row = block * BLOCK_ROWS; row < min(rows, (block + 1) * BLOCK_ROWS); ++row) {
    sum += load_real(x + x_offset + (size_t)row * x_stride + c, width - c);
  }
  store_real(sum, partial + (size_t)block * width + c, width - c);
}

kernel void norm_column_sums(global const float *g, uint g_offset, uint g_stride, global const float *x,
                             uint x_offset, uint x_stride, global const float *statistics,
                             global float *partial, uint rows, uint width) {
  const uint c = get_global_id(0) * VEC, block = get_global_id(1);
  if (c >= width) return;
  real weights = splat(0.0f), biases = splat(0.0f);
  for (uint row = block * BLOCK_ROWS; row < min(rows, (block + 1) * BLOCK_ROWS); ++row) {
    const real upstream = load_real(g + g_offset + (size_t)row * g_stride + c, width - c);
    const real d = load_real(x + x_offset + (size_t)row * x_stride + c, width - c) - splat(statistics[2 * row]);
    weights = fma(upstream, d * splat(statistics[2 * row + 1]), weights);
    biases += upstream;
  }
  store_real(weights, partial + (size_t)(2 * block) * width + c, width - c);
  store_real(biases, partial + (size_t)(2 * block + 1) * width + c, width - c);
}

// Adds rows first, first + step … of `partial`, `blocks` in number, to sum.
kernel void column_totals(global const float *partial, uint first, uint step, uint blocks, global float *sum,
                          uint sum_offset, uint width) {
  const uint c = get_global_id(0) * VEC;
  if (c >= width) return;
  real total = load_real(sum + sum_offset + c, width - c);
  for (uint block = 0; block < blocks; ++block) {
    total += load_real(partial + (size_t)(first + block * step) * width + c, width - c);
  }
  store_real(total, sum + sum_offset + c, width - c);
}
