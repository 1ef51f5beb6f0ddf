// What the AVX2 kernels share: exp, sums across a vector, and the register tile of Float32 products.
#pragma once
#include "internal.h"

#if RK_X86
#define RK_AVX2_BODY RK_AVX2 static inline __attribute__((always_inline))

// Elements of a tile's second operand. Pairs of bfloat16 share a word, two neighbouring terms of one column.
typedef enum { TILE_F32, TILE_F16, TILE_BF16, TILE_PAIRS } tile_kind;

// The first `left` lanes.
RK_AVX2_BODY __m256i avx2_mask(int left) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

RK_AVX2_BODY float avx2_largest(__m256 x) {
  __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_max_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

RK_AVX2_BODY float avx2_sum(__m256 x) {
  __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_add_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

// exp as rk_expf computes it, for x to 88.3.
RK_AVX2_BODY __m256 avx2_exp(__m256 x) {
  const __m256 low = _mm256_set1_ps(RK_EXP_LEAST);
  __m256 alive = _mm256_cmp_ps(x, low, _CMP_GE_OQ);
  x = _mm256_max_ps(x, low);
  __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(RK_LOG2_E)),
                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 f = _mm256_fnmadd_ps(n, _mm256_set1_ps(RK_LN_2_HIGH), x);
  f = _mm256_fnmadd_ps(n, _mm256_set1_ps(RK_LN_2_LOW), f);
  __m256 p = _mm256_set1_ps(RK_EXP_5);
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(RK_EXP_4));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(RK_EXP_3));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(RK_EXP_2));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(RK_EXP_1));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(RK_EXP_0));
  p = _mm256_fmadd_ps(_mm256_mul_ps(p, f), f, _mm256_add_ps(f, _mm256_set1_ps(1.0f)));
  __m256i scale = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_and_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(scale)), alive);
}

// Eight elements; of 16-bit ones those at p, of pairs those at p of the first (half 0) or second term.
RK_AVX2_BODY __m256 avx2_load(const uint8_t *p, tile_kind kind, int half) {
  const __m128i *narrow = (const __m128i *)(const void *)p;
  if (kind == TILE_F32) return _mm256_loadu_ps((const float *)(const void *)p);
  if (kind == TILE_F16) return _mm256_cvtph_ps(_mm_loadu_si128(narrow));
  if (kind == TILE_BF16)
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(narrow)), 16));
  __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)p);
  return _mm256_castsi256_ps(half ? _mm256_and_si256(words, _mm256_set1_epi32((int)0xffff0000u))
                                  : _mm256_slli_epi32(words, 16));
}

// Bytes of eight elements of a term (of pairs: of two terms).
RK_AVX2_BODY size_t avx2_vector_bytes(tile_kind kind) { return kind == TILE_F32 || kind == TILE_PAIRS ? 32 : 16; }

// s[r][2 g + h] += Σ_i a[i · step + r · row] · b[g][i · stride bytes], `n` terms in their order, for R rows and G
// groups of 16 columns. R · G is at most 6: 12 sums, 2 vectors of b and one number of a fill the registers. Of
// pairs, n is rounded up to an even number and `stride` is that of two terms.
RK_AVX2_BODY void avx2_multiply(int R, int G, tile_kind kind, const float *a, size_t step, size_t row,
                                const uint8_t *const *b, size_t stride, int n, __m256 s[6][8]) {
  const int terms = kind == TILE_PAIRS ? 2 : 1;
  const size_t next = avx2_vector_bytes(kind);
  const uint8_t *at[4];
  RK_UNROLL
  for (int g = 0; g < G; g++) at[g] = b[g];
  for (int i = 0; i < n; i += terms, a += terms * step) {
    RK_UNROLL
    for (int g = 0; g < G; g++) {
      RK_UNROLL
      for (int half = 0; half < terms; half++) {
        // Words are read again for their second term: no register is left to keep them.
        if (half) __asm__("" : "+r"(at[g]));
        __m256 low = avx2_load(at[g], kind, half), high = avx2_load(at[g] + next, kind, half);
        RK_UNROLL
        for (int r = 0; r < R; r++) {
          __m256 x = _mm256_broadcast_ss(a + (size_t)r * row + (size_t)half * step);
          s[r][2 * g] = _mm256_fmadd_ps(x, low, s[r][2 * g]);
          s[r][2 * g + 1] = _mm256_fmadd_ps(x, high, s[r][2 * g + 1]);
        }
      }
      at[g] += stride;
    }
  }
}

// 8 rows of 8 become 8 columns.
RK_AVX2_BODY void avx2_transpose8(__m256 x[8]) {
  __m256 t[8];
  RK_UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
  }
  RK_UNROLL
  for (int i = 0; i < 8; i += 4) {
    x[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    x[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    x[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    x[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  RK_UNROLL
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x31);
  }
  RK_UNROLL
  for (int i = 0; i < 8; i++) x[i] = t[i];
}

// `count` numbers (0 to 8) at p; the others are zero and not read.
RK_AVX2_BODY __m256 avx2_load_some(const float *p, int count) {
  if (count >= 8) return _mm256_loadu_ps(p);
  return count > 0 ? _mm256_maskload_ps(p, avx2_mask(count)) : _mm256_setzero_ps();
}

RK_AVX2_BODY void avx2_store_some(float *p, int count, __m256 x) {
  if (count >= 8) _mm256_storeu_ps(p, x);
  else if (count > 0) _mm256_maskstore_ps(p, avx2_mask(count), x);
}

// Units of 16 lines, a number of each line side by side: unit u's number d at target[(u · depth + d) · 16]. Line i is
// `width` numbers from source[i · stride] on; what lines from `lines` on and numbers from `width` to `depth` would
// hold is zero.
RK_AVX2_BODY void avx2_pack_lines(const float *source, size_t stride, int lines, int width, int depth, float *target) {
  for (int first = 0; first < lines; first += 16, target += (size_t)depth * 16)
    for (int half = 0; half < 16; half += 8)
      for (int d = 0; d < depth; d += 8) {
        __m256 x[8];
        RK_UNROLL
        for (int i = 0; i < 8; i++) {
          int line = first + half + i;
          x[i] = avx2_load_some(source + (size_t)(line < lines ? line : 0) * stride + d, line < lines ? width - d : 0);
        }
        avx2_transpose8(x);
        float *out = target + (size_t)d * 16 + half;
        RK_UNROLL
        for (int i = 0; i < 8; i++)
          if (d + i < depth) _mm256_storeu_ps(out + 16 * i, x[i]);
      }
}
#endif
