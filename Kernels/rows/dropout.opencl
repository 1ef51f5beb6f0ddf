// Clears elements at random and scales the rest.
//
//   x  [rows, width] float, rows x_stride elements apart, from element x_offset
//   y  [rows, width] float, packed
// Element (row, column) keeps its value, times `scale`, where half column % 8 (low half first) of the four words of
// Philox4x32-10 with `key` at counter (row · ceil(width / 128) · 16 + column / 8, stream) is at least `threshold`.
// Launch: ceil(width / (8 · COUNTERS)) × rows items: an item draws COUNTERS counters. Tunable: VEC.
#if VEC == 16
#define COUNTERS 16
typedef uint16 words;
#define FIRST_COUNTERS(low) ((uint16)(low) + (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define STORE_WORDS(x, p) vstore16(x, 0, p)
#else
#define COUNTERS 1
typedef uint words;
#define FIRST_COUNTERS(low) (low)
#define STORE_WORDS(x, p) (p)[0] = x
#endif

kernel void dropout(global const float *x, uint x_offset, uint x_stride, ulong key, ulong stream,
                    uint threshold, float scale, global float *y, uint width) {
  const size_t row = get_global_id(1);
  const uint first = get_global_id(0) * (8 * COUNTERS);
  if (first >= width) return;
  // A multiple of COUNTERS: the lanes' counters carry nothing into the upper half.
  const ulong counter = (ulong)row * ((width + 127) / 128 * 16) + first / 8;
  words c0 = FIRST_COUNTERS((uint)counter), c1 = (words)((uint)(counter >> 32));
  words c2 = (words)((uint)stream), c3 = (words)((uint)(stream >> 32));
  uint k0 = (uint)key, k1 = (uint)(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const words p0 = c0 * 0xD2511F53u, h0 = mul_hi(c0, (words)(0xD2511F53u));
    const words p1 = c2 * 0xCD9E8D57u, h1 = mul_hi(c2, (words)(0xCD9E8D57u));
    c0 = h1 ^ c1 ^ (words)(k0);
    c2 = h0 ^ c3 ^ (words)(k1);
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  uint drawn[4][COUNTERS];
  STORE_WORDS(c0, drawn[0]);
  STORE_WORDS(c1, drawn[1]);
  STORE_WORDS(c2, drawn[2]);
  STORE_WORDS(c3, drawn[3]);
  const uint count = min(8u * COUNTERS, width - first);
  global const float *input = x + x_offset + row * x_stride + first;
  global float *output = y + row * width + first;
#if VEC == 4
  for (uint i = 0; i < count; i += 4) {
    const uint low = drawn[i / 2][0], high = drawn[i / 2 + 1][0];
    const int4 halves = (int4)(low & 0xffff, low >> 16, high & 0xffff, high >> 16);
    const real kept = load_real(input + i, count - i) * splat(scale);
    store_real(select(splat(0.0f), kept, halves >= (int4)((int)threshold)), output + i, count - i);
  }
#else
  for (uint i = 0; i < count; ++i) {
    const uint half_word = drawn[i / 2 % 4][i / 8] >> (i % 2 * 16) & 0xffff;
    output[i] = half_word >= threshold ? input[i] * scale : 0.0f;
  }
#endif
}
