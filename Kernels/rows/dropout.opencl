// Clears elements at random and scales the rest.
//
//   x  [rows, width] float, rows x_stride elements apart, from element x_offset
//   y  [rows, width] float, packed
// What is kept, times `scale`: see dropout_draws.opencl, which comes before.
// Launch: ceil(width / COLUMNS) × rows items. Tunable: VEC, SEGMENT (columns of one item on CPU-class devices).
#if VEC == 16
#define COLUMNS SEGMENT
#else
#define COLUMNS DRAWN_COLUMNS
#endif

kernel void dropout(global const float *x, uint x_offset, uint x_stride, ulong key, ulong stream,
                    uint threshold, float scale, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * COLUMNS;
  if (first >= width) return;
  const uint last = min(first + COLUMNS, width);
  global const float *input = x + x_offset + row * x_stride;
  global float *output = y + row * width;
  draw_word words[DRAW_WORDS];
  for (uint group = first; group < last; group += DRAWN_COLUMNS) {
    draw_dropout(row, width, group, key, stream, words);
    for (uint c = group; c < min(group + DRAWN_COLUMNS, last); c += VEC) {
      const real v = load_real(input + c, last - c) * splat(scale);
      store_real(keep_drawn(v, words, c, threshold), output + c, last - c);
    }
  }
}
