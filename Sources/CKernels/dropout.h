// What a dropout multiplies by: draws of Philox4x32-10 (Salmon et al., 2011), 16 bits an element.
//
// dropout_factors writes the factors of elements first..<first + 128, `first` a multiple of 128: `scale` where the
// element's draw, half i % 8 (low half first) of the four words of counter i / 8, reaches the threshold, else 0.
#pragma once
#include "internal.h"

// Elements whose draws are made together: 16 counters of eight halves.
enum { DROPOUT_GROUP = 128 };

// Rounds go over 16 counters side by side, so that a compiler makes vectors of them.
static inline __attribute__((always_inline)) void dropout_lanes(const rk_dropout_draws *d, uint64_t first,
                                                                float *factors) {
  enum { COUNTERS = DROPOUT_GROUP / 8 };
  uint32_t c[4][COUNTERS], k0 = (uint32_t)d->key, k1 = (uint32_t)(d->key >> 32);
  for (int i = 0; i < COUNTERS; i++) {
    uint64_t number = first / 8 + (uint64_t)i;
    c[0][i] = (uint32_t)number;
    c[1][i] = (uint32_t)(number >> 32);
    c[2][i] = (uint32_t)d->stream;
    c[3][i] = (uint32_t)(d->stream >> 32);
  }
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
    for (int i = 0; i < COUNTERS; i++) {
      uint64_t p0 = (uint64_t)0xD2511F53u * c[0][i], p1 = (uint64_t)0xCD9E8D57u * c[2][i];
      c[0][i] = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0;
      c[1][i] = (uint32_t)p1;
      c[2][i] = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
      c[3][i] = (uint32_t)p0;
    }
  for (int i = 0; i < COUNTERS; i++)
    for (int word = 0; word < 4; word++) {
      factors[8 * i + 2 * word] = (c[word][i] & 0xffff) >= d->threshold ? d->scale : 0;
      factors[8 * i + 2 * word + 1] = c[word][i] >> 16 >= d->threshold ? d->scale : 0;
    }
}

static void portable_dropout_factors(const rk_dropout_draws *d, uint64_t first, float *factors) {
  dropout_lanes(d, first, factors);
}

#if RK_X86
RK_AVX2 static void avx2_dropout_factors(const rk_dropout_draws *d, uint64_t first, float *factors) {
  dropout_lanes(d, first, factors);
}
#endif

#if RK_X86
// The low and high words of the products of 16 pairs.
RK_AVX512 static inline __attribute__((always_inline)) void wide_multiply(__m512i a, __m512i b, __m512i *low,
                                                                          __m512i *high) {
  __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
  *low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
  *high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}

// A lane is a counter.
RK_AVX512 static void wide_dropout_factors(const rk_dropout_draws *d, uint64_t first, float *factors) {
  const __m512i order = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  // 16 counters from a multiple of 16 have one high word.
  uint64_t number = first / 8;
  __m512i c0 = _mm512_or_si512(_mm512_set1_epi32((int)number), order), c1 = _mm512_set1_epi32((int)(number >> 32));
  __m512i c2 = _mm512_set1_epi32((int)d->stream), c3 = _mm512_set1_epi32((int)(d->stream >> 32));
  uint32_t k0 = (uint32_t)d->key, k1 = (uint32_t)(d->key >> 32);
  const __m512i m0 = _mm512_set1_epi32((int)0xD2511F53u), m1 = _mm512_set1_epi32((int)0xCD9E8D57u);
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    __m512i low0, high0, low1, high1;
    wide_multiply(c0, m0, &low0, &high0);
    wide_multiply(c2, m1, &low1, &high1);
    c0 = _mm512_ternarylogic_epi32(high1, c1, _mm512_set1_epi32((int)k0), 0x96);
    c1 = low1;
    c2 = _mm512_ternarylogic_epi32(high0, c3, _mm512_set1_epi32((int)k1), 0x96);
    c3 = low0;
  }
  // The four words of a counter side by side: vector i has counters i, i + 4, i + 8 and i + 12.
  __m512i a = _mm512_unpacklo_epi32(c0, c1), b = _mm512_unpackhi_epi32(c0, c1);
  __m512i e = _mm512_unpacklo_epi32(c2, c3), f = _mm512_unpackhi_epi32(c2, c3);
  __m512i words[4] = {_mm512_unpacklo_epi64(a, e), _mm512_unpackhi_epi64(a, e), _mm512_unpacklo_epi64(b, f),
                      _mm512_unpackhi_epi64(b, f)};
  const __m512i threshold = _mm512_set1_epi16((short)d->threshold);
  const __m256 scale = _mm256_set1_ps(d->scale);
  RK_UNROLL
  for (int i = 0; i < 4; i++) {
    // Eight bits a counter.
    uint32_t kept = _mm512_cmpge_epu16_mask(words[i], threshold);
    RK_UNROLL
    for (int j = 0; j < 4; j++)
      _mm256_storeu_ps(factors + 8 * (4 * j + i), _mm256_maskz_mov_ps((__mmask8)(kept >> 8 * j), scale));
  }
}
#endif
