// Numbers to codes for attention over a cache in int8: keys and values as they are stored, queries as they are
// read. A code is round(x · (127 / most)) and its scale most / 127, where most is the largest number in size of
// its group; both in Float32, so that every processor stores the same bytes. Each function is compiled for AVX-512
// and for the baseline.
#include "attention_rows.h"

#define RK_BODY static inline __attribute__((always_inline))

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

// Codes of one group; returns their scale.
RK_BODY float quantize(const float *x, int count, int8_t *codes) {
  float most = largest(x, count), inverse = most > 1e-33f ? 127 / most : 0;
  for (int i = 0; i < count; i++) codes[i] = (int8_t)code_of(x[i], inverse, 127);
  return most / 127;
}

RK_BODY void store_body(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value) {
  float *scales = (float *)(void *)base;
  uint8_t *codes = base + scale_bytes(v);
  int dim = v->head_dim;
  int8_t row[MAX_DIM];
  for (int d = 0; d < dim; d += RK_KV_GROUP) {
    int count = dim - d < RK_KV_GROUP ? dim - d : RK_KV_GROUP;
    scales[key_scale_index(v, slot, d)] = quantize(key + d, count, row + d);
  }
  for (int d = 0; d < dim; d++) row[d] = (int8_t)(row[d] ^ -128);
  for (int d = 0; d < dim; d += 4) memcpy(codes + key_index(v, slot, d), row + d, 4);
  scales[value_scale_index(v, slot)] = quantize(value, dim, row);
  uint8_t *out = codes + value_index(v, slot, 0);
  for (int d = 0; d < dim; d++) out[4 * d] = (uint8_t)row[d];
}

RK_BODY void query_body(const rk_kv_view *v, row_tile *t, int row) {
  const float *x = t->query[row];
  int8_t *high = (int8_t *)(t->pairs + row * (MAX_DIM / 2)), *low = high + MAX_DIM;
  // 127 · 128: the high half stays within int8.
  float most = largest(x, v->head_dim), bound = 16256, inverse = most > 1e-30f ? bound / most : 0;
  for (int d = 0, group = 0; d < v->head_dim; d += RK_KV_GROUP, group++) {
    int count = v->head_dim - d < RK_KV_GROUP ? v->head_dim - d : RK_KV_GROUP, upper = 0, lower = 0;
    for (int i = d; i < d + count; i++) {
      int code = code_of(x[i], inverse, bound), part = (code + 64) >> 7;
      high[i] = (int8_t)part;
      low[i] = (int8_t)(code - part * 128);
      upper += part;
      lower += code - part * 128;
    }
    t->offsets[row][0][group] = -128 * upper;
    t->offsets[row][1][group] = -128 * lower;
  }
  t->unit[row] = most / bound * v->scale;
}

#if RK_X86
#define RK_WIDE RK_AVX512 __attribute__((min_vector_width(512)))
RK_WIDE static void store_wide(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value) {
  store_body(v, base, slot, key, value);
}

RK_WIDE static void query_wide(const rk_kv_view *v, row_tile *t, int row) { query_body(v, t, row); }
#endif

void rk_kv_store_codes(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    store_wide(v, base, slot, key, value);
    return;
  }
#endif
  store_body(v, base, slot, key, value);
}

void rk_query_codes(const rk_kv_view *v, row_tile *t, int row) {
#if RK_X86
  // Elsewhere queries are read as they are.
  if (rk_has_avx512_vnni()) query_wide(v, t, row);
#else
  (void)v, (void)t, (void)row;
#endif
}
