// Encoder attention of one head with AVX2, in Float32 (encoder_attention.c). The register tile takes R rows against
// 16 tokens or columns, or more where R is small.
#include "avx2_tile.h"
#include "encoder_head.h"

#if RK_X86
#define GROUPS(R) ((R) == 1 ? 4 : (R) <= 3 ? 2 : 1)

// Scores of R rows for G groups of 16 tokens from group `first` on.
RK_AVX2_BODY void score(const packed_head *h, int first, int G, int R) {
  __m256 s[6][8];
  const uint8_t *keys[4];
  RK_UNROLL
  for (int g = 0; g < G; g++) keys[g] = (const uint8_t *)(h->keys + (size_t)(first + g) * (size_t)h->dim * 16);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++) s[r][g] = _mm256_setzero_ps();
  avx2_multiply(R, G, TILE_F32, (const float *)(const void *)h->query, 1, (size_t)h->padded, keys, 64, h->dim, s);
  __m256 scale = _mm256_set1_ps(h->scale);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++)
      _mm256_storeu_ps(h->scores + ((size_t)r * (size_t)h->groups + (size_t)first) * 16 + 8 * g,
                       _mm256_mul_ps(s[r][g], scale));
}

// Turns a row's scores for its first `length` tokens into weights, in place, and those of other tokens in the first
// `groups` groups into zero; returns 1 / their sum and gives the logarithm of the sum.
RK_AVX2_BODY float weigh(const packed_head *h, int r, int length, int groups, float *log_sum_exp) {
  float *s = h->scores + (size_t)r * (size_t)h->groups * 16;
  const __m256 low = _mm256_set1_ps(-INFINITY);
  __m256 best = low;
  int whole = length / 8 * 8;
  for (int j = 0; j < whole; j += 8) best = _mm256_max_ps(best, _mm256_loadu_ps(s + j));
  __m256 mask = _mm256_castsi256_ps(avx2_mask(length - whole)), tail = low;
  if (whole < length) tail = _mm256_blendv_ps(low, _mm256_loadu_ps(s + whole), mask);
  float top = avx2_largest(_mm256_max_ps(best, tail));
  __m256 total = _mm256_setzero_ps(), m = _mm256_set1_ps(top);
  for (int j = 0; j < whole; j += 8) {
    __m256 p = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(s + j), m));
    _mm256_storeu_ps(s + j, p);
    total = _mm256_add_ps(total, p);
  }
  for (int j = whole; j < 16 * groups; j += 8) {
    __m256 p = j == whole && whole < length ? avx2_exp(_mm256_sub_ps(tail, m)) : _mm256_setzero_ps();
    _mm256_storeu_ps(s + j, p);
    total = _mm256_add_ps(total, p);
  }
  float sum = avx2_sum(total);
  *log_sum_exp = top + logf(sum);
  return 1.0f / sum;
}

// out[r] = Σ_j p[r][j] · value[j] · inverse[r] over the first `length` tokens, for 16 G columns from `column` on.
RK_AVX2_BODY void gather(const packed_head *h, int length, int column, int G, int R, const float *inverse,
                         float *const *out) {
  __m256 a[6][8];
  const uint8_t *values[4];
  RK_UNROLL
  for (int g = 0; g < G; g++) values[g] = (const uint8_t *)(h->values + column + 16 * g);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++) a[r][g] = _mm256_setzero_ps();
  avx2_multiply(R, G, TILE_F32, h->scores, 1, (size_t)h->groups * 16, values, 4 * (size_t)h->padded, length, a);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++)
      avx2_store_some(out[r] + column + 8 * g, h->dim - column - 8 * g,
                      _mm256_mul_ps(a[r][g], _mm256_set1_ps(inverse[r])));
}

// R rows from `row` on; each reads all tokens, or where `causal` those up to itself.
RK_AVX2_BODY void rows(const packed_head *h, int row, int R, int causal, float *const *out, float *log_sum_exp) {
  const int length = causal ? row + R : h->length, groups = (length + 15) / 16, G = GROUPS(R);
  int group = 0, column = 0;
  for (; group + G <= groups; group += G) score(h, group, G, R);
  for (; group < groups; group++) score(h, group, 1, R);
  float inverse[ROWS];
  for (int r = 0; r < R; r++) inverse[r] = weigh(h, r, causal ? row + r + 1 : length, groups, log_sum_exp + r);
  for (; column + 16 * G <= h->padded; column += 16 * G) gather(h, length, column, G, R, inverse, out);
  for (; column < h->padded; column += 16) gather(h, length, column, 1, R, inverse, out);
}

#define INSTANCE(R)                                                                                            \
  RK_AVX2 static void rows_##R(const packed_head *h, int row, int causal, float *const *out, float *sums) { \
    rows(h, row, R, causal, out, sums);                                                                        \
  }
INSTANCE(1) INSTANCE(2) INSTANCE(3) INSTANCE(4) INSTANCE(5) INSTANCE(6)

// Keys transposed in groups of 16 tokens, values as they are read; columns beyond the end are zero.
RK_AVX2 static void pack(const rk_encoder_head *x, const packed_head *h) {
  avx2_pack_lines(x->key, x->key_stride, h->length, h->dim, h->dim, (float *)(uintptr_t)h->keys);
  float *values = (float *)(uintptr_t)h->values;
  for (int j = 0; j < h->length; j++, values += h->padded)
    for (int c = 0; c < h->padded; c += 8)
      _mm256_storeu_ps(values + c, avx2_load_some(x->value + (size_t)j * x->value_stride + c, h->dim - c));
}

RK_AVX2 void rk_encoder_head_avx2(const rk_encoder_head *x, const packed_head *h) {
  static void (*const functions[ROWS])(const packed_head *, int, int, float *const *, float *) = {
      rows_1, rows_2, rows_3, rows_4, rows_5, rows_6};
  pack(x, h);
  for (int row = 0; row < x->length; row += ROWS) {
    int count = x->length - row < ROWS ? x->length - row : ROWS;
    float *out[ROWS], sums[ROWS];
    for (int r = 0; r < count; r++) {
      memcpy(h->query + r * h->padded, x->query + (size_t)(row + r) * x->query_stride, 4 * (size_t)h->dim);
      out[r] = x->out + (size_t)(row + r) * x->out_stride;
    }
    functions[count - 1](h, row, x->causal, out, sums);
    if (x->log_sum_exp)
      for (int r = 0; r < count; r++) x->log_sum_exp[(size_t)(row + r) * x->log_sum_exp_stride] = sums[r];
  }
}
#endif
