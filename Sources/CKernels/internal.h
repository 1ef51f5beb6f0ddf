// Shared by the kernel files: target selection and small helpers.
#pragma once
#include "ckernels.h"
#include <math.h>
#include <string.h>

// Register tiles live in registers only when the loops over them are unrolled.
#define RK_UNROLL _Pragma("clang loop unroll(full)")

#if defined(__x86_64__)
#define RK_X86 1
#include <immintrin.h>
#define RK_AVX2 __attribute__((target("avx2,fma,f16c")))
#define RK_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c,avx2")))
#define RK_AVX512_BF16                                                                                     \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512bf16,fma,f16c,avx2")))
#else
#define RK_X86 0
#endif

// The version of a function that this processor runs, of those that its file compiles from one body.
#if RK_X86
#define RK_CHOOSE(name) (rk_has_avx512_vnni() ? wide_##name : rk_has_avx2() ? avx2_##name : portable_##name)
#else
#define RK_CHOOSE(name) portable_##name
#endif

static inline float rk_half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
  uint32_t bits;
  if (exponent == 0) {
    float value = (float)mantissa * 0x1p-24f;
    memcpy(&bits, &value, 4);
    bits |= sign;
  } else if (exponent == 31) {
    bits = sign | 0x7f800000u | mantissa << 13;
  } else {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  }
  float out;
  memcpy(&out, &bits, 4);
  return out;
}

static inline uint16_t rk_float_to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    float f;
    memcpy(&f, &magnitude, 4);
    return (uint16_t)(sign | (uint32_t)nearbyintf(f * 0x1p24f));
  }
  uint32_t rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1);
  return (uint16_t)(sign | rounded >> 13);
}

static inline float rk_bf16_to_float(uint16_t h) {
  uint32_t bits = (uint32_t)h << 16;
  float out;
  memcpy(&out, &bits, 4);
  return out;
}

static inline uint16_t rk_float_to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// What the exponentials share, scalar and of every width: e^x = 2^n e^f with n = round(x log2 e) and f = x − n ln 2
// (ln 2 in two parts, so that n ln 2 is exact), e^f = 1 + f + f² (c0 + c1 f + … + c5 f⁵).
#define RK_EXP_LEAST (-87.33654f)
#define RK_LOG2_E 1.44269504088896341f
#define RK_LN_2_HIGH 0.693359375f
#define RK_LN_2_LOW (-2.12194440e-4f)
#define RK_EXP_5 1.9875691500e-4f
#define RK_EXP_4 1.3981999507e-3f
#define RK_EXP_3 8.3334519073e-3f
#define RK_EXP_2 4.1665795894e-2f
#define RK_EXP_1 1.6666665459e-1f
#define RK_EXP_0 5.0000001201e-1f

// exp for the vectoriser: 2^n · p(f) by Cephes' expf coefficients, relative error below 2e-7; 0 below −87.3,
// infinite from 88.4 up.
static inline float rk_expf(float x) {
  float clamped = x < RK_EXP_LEAST ? RK_EXP_LEAST : (x > 88.8f ? 88.8f : x);
  float n = floorf(clamped * RK_LOG2_E + 0.5f);
  float f = clamped - n * RK_LN_2_HIGH - n * RK_LN_2_LOW;
  float p = RK_EXP_5;
  p = p * f + RK_EXP_4;
  p = p * f + RK_EXP_3;
  p = p * f + RK_EXP_2;
  p = p * f + RK_EXP_1;
  p = p * f + RK_EXP_0;
  p = p * f * f + f + 1.0f;
  uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
  float scale;
  memcpy(&scale, &bits, 4);
  float result = p * scale;
  return x < RK_EXP_LEAST ? 0.0f : result;
}

// P in erfc(|z|) exp(z²) = t P(t) with t = 1 / (1 + 0.3 |z|), fitted to a relative error of 4e-8.
static inline float rk_erfc_polynomial(float t) {
  float p = -0.1292877048254013f;
  p = p * t + 0.48445332050323486f;
  p = p * t - 0.5100550055503845f;
  p = p * t + 0.5452581644058228f;
  p = p * t - 0.09300713986158371f;
  p = p * t + 0.21425092220306396f;
  p = p * t + 0.14850519597530365f;
  p = p * t + 0.17069296538829803f;
  return p * t + 0.1691892445087433f;
}
