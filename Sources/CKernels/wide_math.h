// Functions of vectors of 16 words that the AVX-512 kernels share.
#pragma once
#include "internal.h"

#if RK_X86
// exp as rk_expf computes it.
RK_AVX512 static inline __attribute__((always_inline)) __m512 rk_exp16(__m512 x) {
  const __m512 low = _mm512_set1_ps(RK_EXP_LEAST);
  __mmask16 alive = _mm512_cmp_ps_mask(x, low, _CMP_GE_OQ);
  x = _mm512_max_ps(x, low);
  __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(RK_LOG2_E)), 8);
  __m512 f = _mm512_fnmadd_ps(n, _mm512_set1_ps(RK_LN_2_HIGH), x);
  f = _mm512_fnmadd_ps(n, _mm512_set1_ps(RK_LN_2_LOW), f);
  __m512 p = _mm512_set1_ps(RK_EXP_5);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(RK_EXP_4));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(RK_EXP_3));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(RK_EXP_2));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(RK_EXP_1));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(RK_EXP_0));
  p = _mm512_fmadd_ps(_mm512_mul_ps(p, f), f, _mm512_add_ps(f, _mm512_set1_ps(1.0f)));
  return _mm512_maskz_scalef_ps(alive, p, n);
}

// 16 rows of 16 words become 16 columns.
RK_AVX512 static inline __attribute__((always_inline)) void rk_transpose16(__m512i r[16]) {
  __m512i t[16];
  RK_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  RK_UNROLL
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  RK_UNROLL
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  RK_UNROLL
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}
#endif
