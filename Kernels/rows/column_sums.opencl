// Sums over rows, in two passes of fixed order: blocks of BLOCK_ROWS rows, then the blocks one after another.
//
//   x, g, kept     [rows, width] float, rows *_stride elements apart, from element *_offset; kept packed, and not read
//                  without KEPT_SUMS
//   statistics     [rows, 2] float: mean and s of every row; the normalised element is h = (x − mean) · s
//   partial        [blocks, parts, width] float: Σ x; or for norms Σ g h, Σ g and, with KEPT_SUMS, Σ kept
//   first … third  [width] float from element *_offset: what the blocks' sums of parts 0, 1 and 2 are added to
// Launch: ceil(width / (STRIP · VEC)) × blocks items; column_totals ceil(width / VEC) × 1 to 3 items (those
// of the parts that are wanted). Tunable: VEC.
#define BLOCK_ROWS 64
// Vectors of an item that goes through rows.
#define STRIP (GROUP == 1 ? 8 : 1)
#ifndef KEPT_SUMS
#define KEPT_SUMS 0
#endif
#define NORM_PARTS (KEPT_SUMS ? 3 : 2)

kernel void column_sums(global const float *x, uint x_offset, uint x_stride, global float *partial, uint rows,
                        uint width) {
  const uint from = get_global_id(0) * STRIP * VEC, block = get_global_id(1);
  if (from >= width) return;
  const uint last = min(from + STRIP * VEC, width);
  real sums[STRIP];
  for (uint i = 0; i < STRIP; ++i) sums[i] = splat(0.0f);
  for (uint row = block * BLOCK_ROWS; row < min(rows, (block + 1) * BLOCK_ROWS); ++row) {
    for (uint i = 0, c = from; c < last; ++i, c += VEC) {
      sums[i] += load_real(x + x_offset + (size_t)row * x_stride + c, last - c);
    }
  }
  for (uint i = 0, c = from; c < last; ++i, c += VEC) {
    store_real(sums[i], partial + (size_t)block * width + c, last - c);
  }
}

kernel void norm_column_sums(global const float *g, uint g_offset, uint g_stride, global const float *x,
                             uint x_offset, uint x_stride, global const float *statistics,
                             global const float *kept, global float *partial, uint rows, uint width) {
  const uint from = get_global_id(0) * STRIP * VEC, block = get_global_id(1);
  if (from >= width) return;
  const uint last = min(from + STRIP * VEC, width);
  real sums[NORM_PARTS][STRIP];
  for (uint part = 0; part < NORM_PARTS; ++part) {
    for (uint i = 0; i < STRIP; ++i) sums[part][i] = splat(0.0f);
  }
  for (uint row = block * BLOCK_ROWS; row < min(rows, (block + 1) * BLOCK_ROWS); ++row) {
    const real mean = splat(statistics[2 * row]), s = splat(statistics[2 * row + 1]);
    for (uint i = 0, c = from; c < last; ++i, c += VEC) {
      const real upstream = load_real(g + g_offset + (size_t)row * g_stride + c, last - c);
      const real d = load_real(x + x_offset + (size_t)row * x_stride + c, last - c) - mean;
      sums[0][i] = fma(upstream, d * s, sums[0][i]);
      sums[1][i] += upstream;
#if KEPT_SUMS
      sums[2][i] += load_real(kept + (size_t)row * width + c, last - c);
#endif
    }
  }
  for (uint part = 0; part < NORM_PARTS; ++part) {
    global float *target = partial + (size_t)(NORM_PARTS * block + part) * width;
    for (uint i = 0, c = from; c < last; ++i, c += VEC) store_real(sums[part][i], target + c, last - c);
  }
}

kernel void column_totals(global const float *partial, uint parts, uint blocks, global float *first,
                          uint first_offset, global float *second, uint second_offset, global float *third,
                          uint third_offset, uint width) {
  const uint c = get_global_id(0) * VEC, part = get_global_id(1);
  if (c >= width) return;
  global float *sum = part == 0 ? first + first_offset : part == 1 ? second + second_offset : third + third_offset;
  real total = load_real(sum + c, width - c);
  for (uint block = 0; block < blocks; ++block) {
    total += load_real(partial + (size_t)(block * parts + part) * width + c, width - c);
  }
  store_real(total, sum + c, width - c);
}
