// Attention's chunks with AVX2. Keys lie transposed, 16 tokens to a row of two vectors, which spares every
// horizontal sum; halfs and bfloat16 are widened as they are read. Up to 6 rows against 16 tokens or columns are 12
// sums in registers; fewer rows take more columns, so that their sums do not wait for each other.
#include "attention_rows.h"
#include "avx2_tile.h"

#if RK_X86
// Groups of 16 columns that R rows take at once.
#define GROUPS(R) ((R) == 1 ? 4 : (R) <= 3 ? 2 : 1)

// Scores of R rows for G groups of 16 tokens; `query` is [R][head_dim].
RK_AVX2_BODY void score(const rk_kv_view *v, tile_kind kind, const uint8_t *const *keys, const float *query,
                        float *scores, int R, int G) {
  __m256 s[6][8];
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++) s[r][g] = _mm256_setzero_ps();
  avx2_multiply(R, G, kind, query, 1, MAX_DIM, keys, 2 * avx2_vector_bytes(kind), v->head_dim, s);
  __m256 scale = _mm256_set1_ps(v->scale);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++) _mm256_storeu_ps(scores + r * CHUNK + 8 * g, _mm256_mul_ps(s[r][g], scale));
}

RK_AVX2 float rk_weigh_avx2(row_tile *t, int r, int start) {
  float *s = t->scores + r * CHUNK;
  const __m256 low = _mm256_set1_ps(-INFINITY);
  __m256 x[CHUNK / 8], best = low;
  RK_UNROLL
  for (int g = 0; g < CHUNK / 8; g++) {
    __m256 mask = _mm256_castsi256_ps(avx2_mask(t->limit[r] - start - 8 * g));
    x[g] = _mm256_blendv_ps(low, _mm256_loadu_ps(s + 8 * g), mask);
    best = _mm256_max_ps(best, x[g]);
  }
  float top = avx2_largest(best);
  top = top > t->max[r] ? top : t->max[r];
  // A row whose tokens all lie before this chunk keeps its sums: correction exp(0) = 1, weights 0.
  float correction = t->max[r] == top ? 1.0f : rk_expf(t->max[r] - top);
  t->max[r] = top;
  __m256 total = _mm256_setzero_ps(), m = _mm256_set1_ps(top);
  RK_UNROLL
  for (int g = 0; g < CHUNK / 8; g++) {
    __m256 p = avx2_exp(_mm256_sub_ps(x[g], m));
    _mm256_storeu_ps(s + 8 * g, p);
    total = _mm256_add_ps(total, p);
  }
  t->sum[r] = t->sum[r] * correction + avx2_sum(total);
  return correction;
}

// acc[r] = acc[r] · correction[r] + Σ_j p[r][j] · value[j] for the 16 G columns whose first values are at `values`,
// one pointer a group of 16 tokens. Pairs of tokens beyond the last have weight 0.
RK_AVX2_BODY void accumulate(tile_kind kind, const uint8_t *const *values, size_t stride, int count,
                             const float *correction, const float *weights, float *acc, int R, int G) {
  __m256 a[6][8];
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++)
      a[r][g] = _mm256_mul_ps(_mm256_loadu_ps(acc + r * MAX_DIM + 8 * g), _mm256_set1_ps(correction[r]));
  for (int j = 0; j < count; j += 16) {
    const uint8_t *columns[4];
    RK_UNROLL
    for (int g = 0; g < G; g++) columns[g] = values[j / 16] + 2 * (size_t)g * avx2_vector_bytes(kind);
    avx2_multiply(R, G, kind, weights + j, 1, CHUNK, columns, stride, count - j < 16 ? count - j : 16, a);
  }
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 2 * G; g++) _mm256_storeu_ps(acc + r * MAX_DIM + 8 * g, a[r][g]);
}

// The same for the last columns of heads that are not whole groups: their values are copied to whole ones.
RK_AVX2_BODY void accumulate_tail(tile_kind kind, const uint8_t *const *values, size_t stride, int count, size_t bytes,
                                  const float *correction, const float *weights, float *acc, int R) {
  const int terms = kind == TILE_PAIRS ? 2 : 1;
  const size_t whole = 2 * avx2_vector_bytes(kind);
  uint8_t copy[CHUNK * 64];
  const uint8_t *groups[4];
  memset(copy, 0, sizeof copy);
  for (int g = 0; g < 4; g++) groups[g] = copy + (size_t)(g * 16 / terms) * whole;
  for (int j = 0; j < count; j += terms)
    memcpy(copy + (size_t)(j / terms) * whole, values[j / 16] + (size_t)(j % 16 / terms) * stride, bytes);
  accumulate(kind, groups, whole, count, correction, weights, acc, R, 1);
}

RK_AVX2_BODY void values_of(const rk_kv_view *v, tile_kind kind, const uint8_t *const *values, int count,
                            const float *correction, row_tile *t, int row, int R) {
  // Bytes of a column, and of a token's or pair's columns.
  const size_t bytes = avx2_vector_bytes(kind) / 8, stride = (size_t)v->head_dim * bytes;
  const float *weights = t->scores + row * CHUNK;
  const int G = GROUPS(R);
  for (int c = 0, width; c < v->head_dim; c += width) {
    const int left = v->head_dim - c;
    const uint8_t *at[4];
    for (int g = 0; g < 4; g++) at[g] = values[g] + (size_t)c * bytes;
    float *acc = t->acc + row * MAX_DIM + c;
    width = left >= 16 * G ? 16 * G : 16;
    if (left >= 16 * G) accumulate(kind, at, stride, count, correction, weights, acc, R, G);
    else if (left >= 16) accumulate(kind, at, stride, count, correction, weights, acc, R, 1);
    else accumulate_tail(kind, at, stride, count, (size_t)left * bytes, correction, weights, acc, R);
  }
}

RK_AVX2_BODY void chunks(const rk_kv_view *v, tile_kind kind, int kv_head, row_tile *t, int row, int R, int from,
                         int to) {
  const size_t bytes = kv_element(v);
  const int G = GROUPS(R);
  float query[ROWS * MAX_DIM];
  for (int r = 0; r < R; r++) memcpy(query + r * MAX_DIM, t->query[row + r], sizeof(float) * (size_t)v->head_dim);
  for (int start = from; start < to; start += CHUNK) {
    int count = to - start < CHUNK ? to - start : CHUNK, groups = (count + 15) / 16, g = 0;
    const uint8_t *keys[4], *values[4];
    for (int i = 0; i < 4; i++) {
      int token = start + 16 * (i < groups ? i : 0), slot = token % v->block_size;
      const uint8_t *base = block_keys(v, t->table[row], token, kv_head);
      keys[i] = base + key_index(v, slot, 0) * bytes;
      values[i] = base + value_index(v, slot, 0) * bytes;
    }
    float *scores = t->scores + row * CHUNK, correction[ROWS];
    for (; g + G <= groups; g += G) score(v, kind, keys + g, query, scores + 16 * g, R, G);
    for (; g < groups; g++) score(v, kind, keys + g, query, scores + 16 * g, R, 1);
    for (int r = 0; r < R; r++) correction[r] = rk_weigh_avx2(t, row + r, start);
    values_of(v, kind, values, count, correction, t, row, R);
  }
}

#define INSTANCE(NAME, KIND, R)                                                                              \
  RK_AVX2 static void NAME##_##R(const rk_kv_view *v, int kv_head, row_tile *t, int row, int from, int to) { \
    chunks(v, KIND, kv_head, t, row, R, from, to);                                                           \
  }
#define INSTANCES(NAME, KIND)                                               \
  INSTANCE(NAME, KIND, 1) INSTANCE(NAME, KIND, 2) INSTANCE(NAME, KIND, 3)   \
  INSTANCE(NAME, KIND, 4) INSTANCE(NAME, KIND, 5) INSTANCE(NAME, KIND, 6)
INSTANCES(single, TILE_F32)
INSTANCES(half, TILE_F16)
INSTANCES(brain, TILE_PAIRS)

#define ROW(NAME) {NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6}
static const chunk_function functions[3][ROWS] = {
    [RK_KV_F32] = ROW(single), [RK_KV_F16] = ROW(half), [RK_KV_BF16] = ROW(brain)};
#endif

chunk_function rk_attention_chunks_avx2(rk_kv_type type, int rows) {
#if RK_X86
  if (rk_has_avx2()) return type == RK_KV_INT8 ? rk_attention_codes_avx2[rows - 1] : functions[type][rows - 1];
#endif
  (void)type, (void)rows;
  return NULL;
}
