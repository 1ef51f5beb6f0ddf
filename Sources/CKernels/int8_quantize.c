// Weights requantised to int8 at load, activations row by row.
#include "int8_layout.h"

size_t rk_int8_panel_bytes(int k) { return (size_t)padded(k) * 16 + (size_t)group_count(k) * 64; }

size_t rk_int8_row_bytes(int k) { return (size_t)group_count(k) * (RK_INT8_GROUP + 8); }

// A group with an infinity or a NaN: an infinite scale makes its products no numbers, where the largest of the absolute
// values may lose the NaN.
float rk_int8_quantize_infinite(int count, int8_t *codes, int32_t *sum) {
  memset(codes, 0, (size_t)count);
  *sum = 0;
  return INFINITY;
}

static float quantize_portable(const float *x, int count, int8_t *codes, int32_t *sum) {
  float amax = 0;
  for (int i = 0; i < count; i++) amax = x[i] != x[i] ? INFINITY : fmaxf(amax, fabsf(x[i]));
  if (amax == INFINITY) return rk_int8_quantize_infinite(count, codes, sum);
  float inverse = amax > 0 ? 127.0f / amax : 0;
  *sum = 0;
  for (int i = 0; i < count; i++) {
    codes[i] = (int8_t)nearbyintf(x[i] * inverse);
    *sum += codes[i];
  }
  return amax / 127.0f;
}

#if RK_X86
RK_AVX512 static float quantize_avx512(const float *x, int count, int8_t *codes, int32_t *sum) {
  __m512 v[RK_INT8_GROUP / 16], most = _mm512_setzero_ps();
  __mmask16 nans = 0;
  RK_UNROLL
  for (int i = 0; i < RK_INT8_GROUP / 16; i++) {
    int left = count - 16 * i;
    __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    v[i] = _mm512_maskz_loadu_ps(mask, x + 16 * i);
    most = _mm512_max_ps(most, _mm512_abs_ps(v[i]));
    nans |= _mm512_cmp_ps_mask(v[i], v[i], _CMP_UNORD_Q);
  }
  float amax = _mm512_reduce_max_ps(most);
  if (nans || amax == INFINITY) return rk_int8_quantize_infinite(RK_INT8_GROUP, codes, sum);
  __m512 inverse = _mm512_set1_ps(amax > 0 ? 127.0f / amax : 0);
  __m512i total = _mm512_setzero_si512();
  RK_UNROLL
  for (int i = 0; i < RK_INT8_GROUP / 16; i++) {
    __m512i code = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
    total = _mm512_add_epi32(total, code);
    _mm_storeu_si128((__m128i *)(codes + 16 * i), _mm512_cvtepi32_epi8(code));
  }
  *sum = _mm512_reduce_add_epi32(total);
  return amax / 127.0f;
}
#endif

// `codes` has room for a whole group. Returns the scale.
static float quantize(const float *x, int count, int8_t *codes, int32_t *sum) {
#if RK_X86
  if (rk_has_avx512_vnni()) return quantize_avx512(x, count, codes, sum);
  if (rk_has_avx2() && count == RK_INT8_GROUP) return rk_int8_quantize_group_avx2(x, codes, sum);
#endif
  return quantize_portable(x, count, codes, sum);
}

void rk_int8_pack(const float *source, size_t row_stride, int rows, int k, uint8_t *panel) {
  int8_t codes[RK_INT8_GROUP];
  int32_t sum;
  for (int from = 0; from < k; from += RK_INT8_GROUP) {
    int width = group_width(k, from), quads = padded(width) / 4;
    float *scales = (float *)(void *)panel;
    uint8_t *out = panel + 64;
    memset(scales, 0, 64);
    memset(out, 128, (size_t)quads * 64);
    for (int n = 0; n < rows; n++) {
      scales[n] = quantize(source + (size_t)n * row_stride + from, width, codes, &sum);
      for (int i = 0; i < width; i++) out[(i / 4) * 64 + n * 4 + i % 4] = (uint8_t)((int)codes[i] + 128);
    }
    panel = out + quads * 64;
  }
}

// Writes one row's group at place m of a tile of M and returns its scale.
static float store_group(const float *x, int width, int m, int M, uint8_t *group) {
  int8_t *codes = (int8_t *)group + m * RK_INT8_GROUP;
  int32_t sum;
  float scale = quantize(x, width, codes, &sum);
  if (width < RK_INT8_GROUP) memset(codes + width, 0, (size_t)(RK_INT8_GROUP - width));
  int32_t start = -128 * sum;
  memcpy(group + M * RK_INT8_GROUP + 4 * m, &scale, 4);
  memcpy(group + M * (RK_INT8_GROUP + 4) + 4 * m, &start, 4);
  return scale;
}

// What rounding to `codes` left of x.
static inline __attribute__((always_inline)) void subtract_body(const float *x, const int8_t *codes, float scale,
                                                                int width, float *left) {
  for (int i = 0; i < width; i++) left[i] = fmaf(-scale, (float)codes[i], x[i]);
}

static void subtract_portable(const float *x, const int8_t *codes, float scale, int width, float *left) {
  subtract_body(x, codes, scale, width, left);
}

#if RK_X86
RK_AVX2 static void subtract_avx2(const float *x, const int8_t *codes, float scale, int width, float *left) {
  subtract_body(x, codes, scale, width, left);
}

RK_AVX512 static void subtract_avx512(const float *x, const int8_t *codes, float scale, int width, float *left) {
  for (int i = 0; i < width; i++) left[i] = fmaf(-scale, (float)codes[i], x[i]);
}
#endif

static void subtract(const float *x, const int8_t *codes, float scale, int width, float *left) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    subtract_avx512(x, codes, scale, width, left);
    return;
  }
  if (rk_has_avx2()) {
    subtract_avx2(x, codes, scale, width, left);
    return;
  }
#endif
  subtract_portable(x, codes, scale, width, left);
}

void rk_int8_quantize(const float *x, int k, int row, int rows, uint8_t *acts, uint8_t *rest) {
  int first = 0;
  while (row >= first + tile_rows(rows - first)) first += tile_rows(rows - first);
  int M = tile_rows(rows - first), m = row - first;
  size_t at = (size_t)first * rk_int8_row_bytes(k);
  float left[RK_INT8_GROUP];
  for (int from = 0; from < k; from += RK_INT8_GROUP) {
    int width = group_width(k, from);
    float scale = store_group(x + from, width, m, M, acts + at);
    if (rest) {
      subtract(x + from, (const int8_t *)acts + at + m * RK_INT8_GROUP, scale, width, left);
      store_group(left, width, m, M, rest + at);
    }
    at += (size_t)(RK_INT8_GROUP + 8) * (size_t)M;
  }
}
