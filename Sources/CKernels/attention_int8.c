// Numbers to codes for attention over a cache in int8: keys and values as they are stored, queries as they are
// read. A code is round(x · (127 / most)) and its scale most / 127, where most is the largest number in size of
// its group; both in Float32, so that every processor stores the same bytes. Keys and queries are rotated first:
// models with biased keys have a few numbers a hundred times as large as the rest, which would leave the others no
// code but 0 (QuaRot, Ashkboos et al., 2024). Each function is compiled for AVX-512, AVX2 and the baseline.
#include "attention_rows.h"

#define RK_BODY static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(64), aligned(4)));

#define BUTTERFLY(y, A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, ...)                                          \
  (__builtin_shufflevector(y, y, A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P) + (y) * (lanes){__VA_ARGS__})

// Sums and differences of numbers 1, 2, 4 and 8 apart, among 16.
RK_BODY void rotate16(float *x) {
  lanes y = *(const lanes *)(const void *)x;
  y = BUTTERFLY(y, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1,
                -1, 1, -1);
  y = BUTTERFLY(y, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1,
                1, -1, -1);
  y = BUTTERFLY(y, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1,
                -1, -1, -1);
  y = BUTTERFLY(y, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1,
                -1, -1, -1, -1);
  *(lanes *)(void *)x = y;
}

// Hadamard's transform of each block of numbers, a block being the largest power of 2 that divides dim. It spreads
// a number that stands out over its block, and leaves products of two vectors as they are but for a factor.
RK_BODY void rotate(const float *x, int dim, float factor, float *y) {
  int block = dim & -dim, step = 1;
  for (int i = 0; i < dim; i++) y[i] = x[i] * factor;
  if (block >= 16) {
    for (int i = 0; i < dim; i += 16) rotate16(y + i);
    step = 16;
  }
  for (; step < block; step *= 2)
    for (int i = 0; i < dim; i += 2 * step)
      for (int j = i; j < i + step; j++) {
        float a = y[j], b = y[j + step];
        y[j] = a + b;
        y[j + step] = a - b;
      }
}

// The largest of count numbers in size; what is not finite counts as largest.
RK_BODY float largest(const float *x, int count) {
  uint32_t most = 0;
  for (int i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    most = bits > most ? bits : most;
  }
  float result;
  memcpy(&result, &most, 4);
  return result;
}

RK_BODY int code_of(float x, float inverse, float bound) {
  float scaled = x * inverse;
  // What is not a number becomes a code too.
  scaled = scaled > -bound ? scaled : -bound;
  scaled = scaled < bound ? scaled : bound;
  return (int)nearbyintf(scaled);
}

// Codes of one group, 128 added (keys) or not; returns their scale.
RK_BODY float quantize(const float *x, int count, int offset, int8_t *codes) {
  float most = largest(x, count), inverse = most > 1e-33f ? 127 / most : 0;
  for (int i = 0; i < count; i++) codes[i] = (int8_t)(code_of(x[i], inverse, 127) + offset);
  return most / 127;
}

RK_BODY void store_body(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value) {
  float *scales = (float *)(void *)base;
  uint8_t *codes = base + scale_bytes(v);
  int dim = v->head_dim;
  int8_t row[MAX_DIM];
  float rotated[MAX_DIM];
  rotate(key, dim, 1, rotated);
  key = rotated;
  for (int d = 0; d < dim; d += RK_KV_GROUP) {
    int count = dim - d < RK_KV_GROUP ? dim - d : RK_KV_GROUP;
    // A count that is known makes short loops vectors.
    scales[key_scale_index(v, slot, d)] = count == RK_KV_GROUP ? quantize(key + d, RK_KV_GROUP, 128, row + d)
                                                               : quantize(key + d, count, 128, row + d);
  }
  for (int d = 0; d < dim; d += 4) memcpy(codes + key_index(v, slot, d), row + d, 4);
  scales[value_scale_index(v, slot)] = quantize(value, dim, 0, row);
  uint8_t *out = codes + value_index(v, slot, 0);
  for (int d = 0; d < dim; d++) out[4 * d] = (uint8_t)row[d];
}

// 127 · 128: the high half stays within int8.
#define QUERY_BOUND 16256.0f

RK_BODY void query_group(const float *x, int count, float inverse, int8_t *high, int8_t *low, int32_t *upper,
                         int32_t *lower) {
  int32_t sums[2] = {0, 0};
  for (int i = 0; i < count; i++) {
    int code = code_of(x[i], inverse, QUERY_BOUND), part = (code + 64) >> 7;
    high[i] = (int8_t)part;
    low[i] = (int8_t)(code - part * 128);
    sums[0] += part;
    sums[1] += code - part * 128;
  }
  *upper = -128 * sums[0];
  *lower = -128 * sums[1];
}

RK_BODY void query_body(const rk_kv_view *v, row_tile *t, int row) {
  float *x = t->rotated + row * MAX_DIM;
  rotate(t->query[row], v->head_dim, 1.0f / (float)(v->head_dim & -v->head_dim), x);
  t->query[row] = x;
  int8_t *high = (int8_t *)(t->pairs + row * (MAX_DIM / 2)), *low = high + MAX_DIM;
  float most = largest(x, v->head_dim), inverse = most > 1e-30f ? QUERY_BOUND / most : 0;
  for (int d = 0, group = 0; d < v->head_dim; d += RK_KV_GROUP, group++) {
    int count = v->head_dim - d < RK_KV_GROUP ? v->head_dim - d : RK_KV_GROUP;
    int32_t *upper = &t->offsets[row][0][group], *lower = &t->offsets[row][1][group];
    if (count == RK_KV_GROUP) query_group(x + d, RK_KV_GROUP, inverse, high + d, low + d, upper, lower);
    else query_group(x + d, count, inverse, high + d, low + d, upper, lower);
  }
  t->unit[row] = most / QUERY_BOUND * v->scale;
}

#if RK_X86
#define RK_WIDE RK_AVX512 __attribute__((min_vector_width(512)))
RK_WIDE static void store_wide(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value) {
  store_body(v, base, slot, key, value);
}

RK_WIDE static void query_wide(const rk_kv_view *v, row_tile *t, int row) { query_body(v, t, row); }

RK_AVX2 static void store_avx2(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value) {
  store_body(v, base, slot, key, value);
}

RK_AVX2 static void query_avx2(const rk_kv_view *v, row_tile *t, int row) { query_body(v, t, row); }
#endif

void rk_kv_store_codes(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    store_wide(v, base, slot, key, value);
    return;
  }
  if (rk_has_avx2()) {
    store_avx2(v, base, slot, key, value);
    return;
  }
#endif
  store_body(v, base, slot, key, value);
}

void rk_query_codes(const rk_kv_view *v, row_tile *t, int row) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    query_wide(v, t, row);
    return;
  }
  if (rk_has_avx2()) {
    query_avx2(v, t, row);
    return;
  }
#endif
  query_body(v, t, row);
}
