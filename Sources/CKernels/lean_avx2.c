// Lean products with AVX2: tiles of 1 to 16 rows against the 16 rows of a panel, in halves of 8.
//
// Products of unsigned codes and signed activations are added in pairs in 16 bits, which saturate; so only as many
// of them are added before they are widened as cannot: all 32 k of 4-bit codes (8 · 2 · 15 · 127 = 30,480), 16 k of
// 5-bit ones, 8 k of 6-bit ones, 4 k of 8-bit ones, which enter as size and sign (2 · 128 · 127). All sums are exact.
#include "avx2_tile.h"
#include "lean_tile.h"

#if RK_X86
RK_AVX2 static void quantize(const float *x, rk_act_block *b) {
  const __m256 positive = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 v[4], most = _mm256_setzero_ps();
  RK_UNROLL
  for (int i = 0; i < 4; i++) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    most = _mm256_max_ps(most, _mm256_and_ps(v[i], positive));
  }
  float amax = avx2_largest(most), inverse = amax > 0 ? 127.0f / amax : 0;
  __m256i code[4];
  RK_UNROLL
  for (int i = 0; i < 4; i++) code[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse)));
  __m256i words = _mm256_packs_epi32(code[0], code[1]), more = _mm256_packs_epi32(code[2], code[3]);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words, more), order);
  _mm256_storeu_si256((__m256i *)(void *)b->q, bytes);
  // The sums of the first and of the last 16 codes.
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums = _mm256_hadd_epi32(_mm256_madd_epi16(words, ones), _mm256_madd_epi16(more, ones));
  __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  both = _mm_hadd_epi32(both, both);
  int low = _mm_cvtsi128_si32(both), high = _mm_extract_epi32(both, 1);
  b->scale = amax / 127.0f;
  b->sum_low = b->scale * (float)low;
  b->sum_high = b->scale * (float)high;
  b->sum = b->scale * (float)(low + high);
}

void rk_act_quantize_block_avx2(const float *x, rk_act_block *b) { quantize(x, b); }

RK_AVX2_BODY __m256 half8(const uint8_t *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

RK_AVX2_BODY __m256 signed8(const uint8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

RK_AVX2_BODY __m256 unsigned8(__m128i v) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)); }

// k_scale_min for 8 rows; q is at the first of them.
RK_AVX2_BODY void k_scales(int j, const uint8_t *q, __m256 *scale, __m256 *minimum) {
  const __m128i low6 = _mm_set1_epi8(63), low4 = _mm_set1_epi8(15), high2 = _mm_set1_epi8(48);
#define BYTES(i) _mm_loadl_epi64((const __m128i *)(const void *)(q + 16 * (i)))
  if (j < 4) {
    *scale = unsigned8(_mm_and_si128(BYTES(j), low6));
    *minimum = unsigned8(_mm_and_si128(BYTES(j + 4), low6));
  } else {
    __m128i nibbles = BYTES(j + 4);
    __m128i top = _mm_and_si128(_mm_srli_epi16(BYTES(j - 4), 2), high2);
    *scale = unsigned8(_mm_or_si128(_mm_and_si128(nibbles, low4), top));
    top = _mm_and_si128(_mm_srli_epi16(BYTES(j), 2), high2);
    *minimum = unsigned8(_mm_or_si128(_mm_and_si128(_mm_srli_epi16(nibbles, 4), low4), top));
  }
#undef BYTES
}

// Codes of 32 k and 8 rows: vector g holds k = 4 g ..< 4 g + 4. p is at the first of the rows.
RK_AVX2_BODY void unpack(int bits, const uint8_t *p, __m256i w[8]) {
#define CODES(at) _mm256_loadu_si256((const __m256i *)(const void *)(p + (at)))
  if (bits == 8) {
    RK_UNROLL
    for (int g = 0; g < 8; g++) w[g] = _mm256_xor_si256(CODES(64 * g), _mm256_set1_epi8((char)0x80));
    return;
  }
  const __m256i nibble = _mm256_set1_epi8(15);
  RK_UNROLL
  for (int i = 0; i < 4; i++) {
    __m256i v = CODES(64 * i);
    w[i] = _mm256_and_si256(v, nibble);
    w[i + 4] = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
  }
  if (bits == 5) {
    __m256i h = CODES(256);
    RK_UNROLL
    for (int g = 0; g < 8; g++) {
      __m256i v = g <= 4 ? _mm256_slli_epi16(h, g <= 4 ? 4 - g : 0) : _mm256_srli_epi16(h, g > 4 ? g - 4 : 0);
      w[g] = _mm256_or_si256(w[g], _mm256_and_si256(v, _mm256_set1_epi8(16)));
    }
  }
  if (bits == 6) {
    RK_UNROLL
    for (int g = 0; g < 8; g++) {
      __m256i h = CODES(256 + 64 * (g / 4));
      int r = g & 3;
      __m256i v = r == 3 ? _mm256_srli_epi16(h, 2) : _mm256_slli_epi16(h, r == 0 ? 4 : r == 1 ? 2 : 0);
      w[g] = _mm256_or_si256(w[g], _mm256_and_si256(v, _mm256_set1_epi8(48)));
    }
  }
#undef CODES
}

// Exact sums of 8 rows over vectors from ..< to.
RK_AVX2_BODY __m256i dot(int bits, const __m256i *w, const int8_t *q, int from, int to) {
  const int together = bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
  __m256i sum = _mm256_setzero_si256();
  RK_UNROLL
  for (int first = from; first < to; first += together) {
    __m256i pairs = _mm256_setzero_si256();
    RK_UNROLL
    for (int g = first; g < first + together && g < to; g++) {
      int32_t four;
      memcpy(&four, q + 4 * g, 4);
      __m256i x = _mm256_set1_epi32(four);
      __m256i product = bits == 8 ? _mm256_maddubs_epi16(_mm256_abs_epi8(w[g]), _mm256_sign_epi8(x, w[g]))
                                  : _mm256_maddubs_epi16(w[g], x);
      pairs = g == first ? product : _mm256_add_epi16(pairs, product);
    }
    pairs = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    sum = first == from ? pairs : _mm256_add_epi32(sum, pairs);
  }
  return sum;
}

RK_AVX2_BODY __m256 dot_of(int bits, const __m256i *w, const int8_t *q, int from, int to) {
  return _mm256_cvtepi32_ps(dot(bits, w, q, from, to));
}

// Adds 32 k of 8 rows of a panel to M rows of sums.
RK_AVX2_BODY void add_low_high(const uint8_t *scales, const __m256i *w, __m256 d, int M, const rk_act_block *act,
                               __m256 acc[16][2], int side) {
  __m256 d0 = _mm256_mul_ps(d, signed8(scales)), d1 = _mm256_mul_ps(d, signed8(scales + 16));
  __m256 m0 = _mm256_mul_ps(d0, _mm256_set1_ps(-32.0f)), m1 = _mm256_mul_ps(d1, _mm256_set1_ps(-32.0f));
  RK_UNROLL
  for (int m = 0; m < M; m++) {
    const rk_act_block *b = act + m;
    __m256 t = _mm256_mul_ps(dot_of(6, w, b->q, 0, 4), d0), sum = acc[m][side];
    t = _mm256_fmadd_ps(dot_of(6, w, b->q, 4, 8), d1, t);
    sum = _mm256_fmadd_ps(t, _mm256_set1_ps(b->scale), sum);
    sum = _mm256_fmadd_ps(m0, _mm256_set1_ps(b->sum_low), sum);
    acc[m][side] = _mm256_fmadd_ps(m1, _mm256_set1_ps(b->sum_high), sum);
  }
}

RK_AVX2_BODY void add_simple(int bits, const __m256i *w, __m256 wd, __m256 wm, int M, const rk_act_block *act,
                             __m256 acc[16][2], int side) {
  RK_UNROLL
  for (int m = 0; m < M; m++) {
    const rk_act_block *b = act + m;
    __m256 t = _mm256_mul_ps(dot_of(bits, w, b->q, 0, 8), wd);
    __m256 sum = _mm256_fmadd_ps(t, _mm256_set1_ps(b->scale), acc[m][side]);
    // Codes of 8 bits are signed here and need no offset.
    acc[m][side] = bits == 8 ? sum : _mm256_fmadd_ps(wm, _mm256_set1_ps(b->sum), sum);
  }
}

RK_AVX2_BODY void tile(rk_type type, int M, tile_input in, __m256 acc[16][2]) {
  const lean_info info = lean_describe(type);
  const int subs = info.is_k ? 8 : 1, header = lean_header_bytes(info), bytes = lean_unit_bytes(info);
  RK_UNROLL
  for (int m = 0; m < M; m++) acc[m][0] = acc[m][1] = _mm256_setzero_ps();
  for (int block = 0; block < in.k / 32; block++) {
    const uint8_t *unit = in.panel + (size_t)(block / subs) * (size_t)bytes;
    const rk_act_block *act = in.acts + (size_t)block * (size_t)M;
    const int s = block % subs;
    RK_UNROLL
    for (int side = 0; side < 2; side++) {
      __m256i w[8];
      unpack(info.bits, unit + header + s * info.code_bytes + 32 * side, w);
      __m256 d = half8(unit + 16 * side), wd = d, wm;
      if (type == RK_Q6_K) {
        add_low_high(unit + 64 + s * 32 + 8 * side, w, d, M, act, acc, side);
        continue;
      }
      if (info.is_k) {
        __m256 scale, minimum;
        k_scales(s, unit + 64 + 8 * side, &scale, &minimum);
        wd = _mm256_mul_ps(d, scale);
        wm = _mm256_mul_ps(_mm256_sub_ps(_mm256_setzero_ps(), half8(unit + 32 + 16 * side)), minimum);
      } else if (info.has_min) {
        wm = half8(unit + 32 + 16 * side);
      } else {
        wm = _mm256_mul_ps(d, _mm256_set1_ps((float)-info.offset));
      }
      add_simple(info.bits, w, wd, wm, M, act, acc, side);
    }
  }
}

RK_AVX2_BODY void store(int M, __m256 acc[16][2], const float *bias, float *y, size_t stride, int columns, int add) {
  for (int side = 0; side < 2; side++) {
    const int left = columns - 8 * side;
    __m256 b = bias ? avx2_load_some(bias + 8 * side, left) : _mm256_setzero_ps();
    RK_UNROLL
    for (int m = 0; m < M; m++) {
      float *out = y + (size_t)m * stride + 8 * side;
      __m256 base = add ? avx2_load_some(out, left) : b;
      avx2_store_some(out, left, _mm256_add_ps(acc[m][side], base));
    }
  }
}

#define TILE(TYPE, M)                                                                                             \
  RK_AVX2 static void tile_##TYPE##_##M(tile_input in, const float *bias, float *y, size_t stride, int columns, \
                                        int add) {                                                                \
    __m256 acc[16][2];                                                                                            \
    tile(RK_##TYPE, M, in, acc);                                                                                  \
    store(M, acc, bias, y, stride, columns, add);                                                                 \
  }
#define TILES(TYPE) TILE(TYPE, 1) TILE(TYPE, 2) TILE(TYPE, 4) TILE(TYPE, 8) TILE(TYPE, 16)
TILES(Q4_0) TILES(Q4_1) TILES(Q5_0) TILES(Q5_1) TILES(Q8_0) TILES(Q4_K) TILES(Q5_K) TILES(Q6_K)

#define ROW(TYPE) [RK_##TYPE] = {tile_##TYPE##_1, tile_##TYPE##_2, tile_##TYPE##_4, tile_##TYPE##_8, tile_##TYPE##_16}
const tile_function rk_lean_tiles_avx2[8][5] = {ROW(Q4_0), ROW(Q4_1), ROW(Q5_0), ROW(Q5_1),
                                                ROW(Q8_0), ROW(Q4_K), ROW(Q5_K), ROW(Q6_K)};
#endif
