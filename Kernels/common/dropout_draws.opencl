// Which elements dropout keeps: element (row, column) where half column % 8 (low half first) of the four words of
// Philox4x32-10 with `key` at counter (row · ceil(width / 128) · 16 + column / 8, stream) is at least `threshold`.
//
// A kernel keeps `draw_word words[DRAW_WORDS]`, the draws of DRAWN_COLUMNS columns. vector_math with VEC 16 or 4 comes
// before.
#if VEC == 16
// Eight counters at once, a word in the lower half of each lane: one multiplication gives both halves of a product.
typedef ulong draw_word;
#define DRAW_WORDS 16
#define DRAWN_COLUMNS 64
#define LOW_WORD 0xffffffffUL

void draw_columns(ulong counter, ulong key, ulong stream, draw_word *words) {
  // The counter is a multiple of 8: the lanes' carry nothing into the upper half.
  ulong8 c0 = (ulong8)(counter & LOW_WORD) + (ulong8)(0, 1, 2, 3, 4, 5, 6, 7), c1 = (ulong8)(counter >> 32);
  ulong8 c2 = (ulong8)(stream & LOW_WORD), c3 = (ulong8)(stream >> 32);
  uint k0 = (uint)key, k1 = (uint)(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const ulong8 p0 = (c0 & LOW_WORD) * 0xD2511F53UL, p1 = (c2 & LOW_WORD) * 0xCD9E8D57UL;
    c0 = (p1 >> 32) ^ c1 ^ (ulong8)(k0);
    c2 = (p0 >> 32) ^ c3 ^ (ulong8)(k1);
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  // A counter's words side by side.
  const ulong8 a = (c0 & LOW_WORD) | c1 << 32, b = (c2 & LOW_WORD) | c3 << 32;
  vstore8((ulong8)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3), 0, words);
  vstore8((ulong8)(a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7), 1, words);
}

// The halves of VEC columns from column c on, a multiple of VEC.
integer drawn_halves(const draw_word *words, uint c) {
  return as_integer(lanes_from_ushort(as_ushort16(vload4(c % DRAWN_COLUMNS / VEC, words))));
}
#elif VEC == 4
typedef uint draw_word;
#define DRAW_WORDS 4
#define DRAWN_COLUMNS 8

void draw_columns(ulong counter, ulong key, ulong stream, draw_word *words) {
  uint c0 = (uint)counter, c1 = (uint)(counter >> 32), c2 = (uint)stream, c3 = (uint)(stream >> 32);
  uint k0 = (uint)key, k1 = (uint)(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint p0 = c0 * 0xD2511F53u, h0 = mul_hi(c0, 0xD2511F53u);
    const uint p1 = c2 * 0xCD9E8D57u, h1 = mul_hi(c2, 0xCD9E8D57u);
    c0 = h1 ^ c1 ^ k0;
    c2 = h0 ^ c3 ^ k1;
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

integer drawn_halves(const draw_word *words, uint c) {
  // No index that a register could not have.
  const uint low = c % DRAWN_COLUMNS ? words[2] : words[0], high = c % DRAWN_COLUMNS ? words[3] : words[1];
  return (int4)((int)(low & 0xffff), (int)(low >> 16), (int)(high & 0xffff), (int)(high >> 16));
}
#endif

#ifdef DRAW_WORDS
// Draws for the DRAWN_COLUMNS columns around column c.
void draw_dropout(ulong row, uint width, uint c, ulong key, ulong stream, draw_word *words) {
  draw_columns(row * ((width + 127) / 128 * 16) + c / DRAWN_COLUMNS * (DRAWN_COLUMNS / 8), key, stream, words);
}

// x of VEC columns from column c on, a multiple of VEC, 0 where it is not kept.
real keep_drawn(real x, const draw_word *words, uint c, uint threshold) {
  return select(splat(0.0f), x, drawn_halves(words, c) >= (integer)((int)threshold));
}

// Whether an item that goes through a row by FOR_ROW must draw at column c.
#define DRAWS_AT(c) (VEC == 4 || (c) % DRAWN_COLUMNS == 0)
#endif
