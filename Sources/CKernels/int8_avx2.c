// int8 products and quantisation with AVX2. Codes are widened to 16 bits, of weights in two vectors (even and odd k),
// of activations once a group; two multiply-adds then sum four k exactly in 32 bits, which VNNI does in one.
#include "avx2_tile.h"
#include "int8_layout.h"

#if RK_X86
// Codes of a group of M rows as 16-bit pairs: [M][quad], even k (0, 2) and odd ones (1, 3).
typedef struct {
  int32_t even[8][RK_INT8_GROUP / 4], odd[8][RK_INT8_GROUP / 4];
} wide_codes;

RK_AVX2_BODY void widen(int M, const uint8_t *acts, wide_codes *x) {
  for (int m = 0; m < M; m++)
    for (int i = 0; i < RK_INT8_GROUP / 4; i += 8) {
      __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(acts + m * RK_INT8_GROUP + 4 * i));
      __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8), odd = _mm256_srai_epi16(v, 8);
      _mm256_storeu_si256((__m256i *)(void *)(x->even[m] + i), even);
      _mm256_storeu_si256((__m256i *)(void *)(x->odd[m] + i), odd);
    }
}

// One group of a panel against R (1, 2, 4) rows from `first` on: 8 sums, 4 vectors of codes.
RK_AVX2_BODY void group(int R, int first, const uint8_t *unit, int quads, const wide_codes *x, const float *scales,
                        const int32_t *starts, float *sums) {
  __m256i acc[4][2];
  RK_UNROLL
  for (int r = 0; r < R; r++) acc[r][0] = acc[r][1] = _mm256_set1_epi32(starts[first + r]);
  const __m256i *w = (const __m256i *)(const void *)(unit + 64);
  const __m256i low = _mm256_set1_epi16(255);
  for (int i = 0; i < quads; i++, w += 2) {
    __m256i even[2], odd[2];
    RK_UNROLL
    for (int h = 0; h < 2; h++) {
      __m256i v = _mm256_loadu_si256(w + h);
      even[h] = _mm256_and_si256(v, low);
      odd[h] = _mm256_srli_epi16(v, 8);
    }
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m256i a = _mm256_set1_epi32(x->even[first + r][i]), b = _mm256_set1_epi32(x->odd[first + r][i]);
      RK_UNROLL
      for (int h = 0; h < 2; h++) {
        acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(even[h], a));
        acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(odd[h], b));
      }
    }
  }
  RK_UNROLL
  for (int h = 0; h < 2; h++) {
    __m256 scale = _mm256_loadu_ps((const float *)(const void *)unit + 8 * h);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      float *at = sums + 32 * (first + r) + 8 * h;
      __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(scales[first + r]));
      _mm256_storeu_ps(at, _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[r][h]), both, _mm256_loadu_ps(at)));
    }
  }
}

// P panels against M rows.
RK_AVX2_BODY void tile(int M, int P, const int8_stretch *t) {
  const int R = M < 4 ? M : 4;
  const uint8_t *panel = t->panel, *acts = t->acts, *next0 = t->next[0], *next1 = t->next[1];
  for (int from = 0; from < t->k; from += RK_INT8_GROUP) {
    const int quads = padded(group_width(t->k, from)) / 4;
    const uint8_t *tail = acts + RK_INT8_GROUP * M;
    wide_codes x;
    widen(M, acts, &x);
    for (size_t i = 0; i < (size_t)quads * t->fetch; i += 64) {
      __builtin_prefetch(next0 + i);
      if (P == 2) __builtin_prefetch(next1 + i);
    }
    next0 += (size_t)quads * t->fetch;
    next1 += (size_t)quads * t->fetch;
    for (int p = 0; p < P; p++)
      for (int first = 0; first < M; first += R)
        group(R, first, panel + (size_t)p * t->panel_bytes, quads, &x, (const float *)(const void *)tail,
              (const int32_t *)(const void *)(tail + 4 * M), t->sums + 16 * p);
    acts = tail + 8 * M;
    panel += 64 + 64 * quads;
  }
}

#define TILE(M) \
  RK_AVX2 static void tile_##M(int P, const int8_stretch *t) { tile(M, P, t); }
TILE(1) TILE(2) TILE(4) TILE(8)

void rk_int8_tile_avx2(int P, int M, const int8_stretch *t) {
  switch (M) {
    case 1: tile_1(P, t); break;
    case 2: tile_2(P, t); break;
    case 4: tile_4(P, t); break;
    default: tile_8(P, t); break;
  }
}

RK_AVX2 float rk_int8_quantize_group_avx2(const float *x, int8_t *codes, int32_t *sum) {
  enum { VECTORS = RK_INT8_GROUP / 8 };
  const __m256 positive = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7), ones = _mm256_set1_epi16(1);
  __m256 v[VECTORS], most = _mm256_setzero_ps(), nans = _mm256_setzero_ps();
  RK_UNROLL
  for (int i = 0; i < VECTORS; i++) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    most = _mm256_max_ps(most, _mm256_and_ps(v[i], positive));
    nans = _mm256_or_ps(nans, _mm256_cmp_ps(v[i], v[i], _CMP_UNORD_Q));
  }
  float amax = avx2_largest(most);
  if (_mm256_movemask_ps(nans) || amax == INFINITY) return rk_int8_quantize_infinite(RK_INT8_GROUP, codes, sum);
  __m256 inverse = _mm256_set1_ps(amax > 0 ? 127.0f / amax : 0);
  __m256i total = _mm256_setzero_si256();
  RK_UNROLL
  for (int i = 0; i < VECTORS; i += 4) {
    __m256i words[2];
    RK_UNROLL
    for (int j = 0; j < 2; j++) {
      words[j] = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[i + 2 * j], inverse)),
                                    _mm256_cvtps_epi32(_mm256_mul_ps(v[i + 2 * j + 1], inverse)));
      total = _mm256_add_epi32(total, _mm256_madd_epi16(words[j], ones));
    }
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words[0], words[1]), order);
    _mm256_storeu_si256((__m256i *)(void *)(codes + 8 * i), bytes);
  }
  __m128i both = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
  both = _mm_hadd_epi32(both, both);
  *sum = _mm_cvtsi128_si32(both) + _mm_extract_epi32(both, 1);
  return amax / 127.0f;
}
#endif
