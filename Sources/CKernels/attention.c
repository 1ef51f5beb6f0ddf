// Attention over a paged cache with an online softmax (Milakov and Gimelshein, 2018).
//
// Work goes tile by tile: up to 6 query rows of one key head against chunks of 64 tokens that start at multiples
// of 64, so that a row's order of sums depends on its position alone. Rows of several sequences share a tile where
// their first tokens lie in the same blocks: what one row reads serves all, and the sums stay the same bits.
#include "attention_rows.h"

// MARK: Writing

static void narrow_portable(rk_kv_type type, const float *x, int count, uint16_t *out) {
  for (int i = 0; i < count; i++) out[i] = type == RK_KV_F16 ? rk_float_to_half(x[i]) : rk_float_to_bf16(x[i]);
}

#if RK_X86
RK_AVX512 static void halves_avx512(const float *x, int count, uint16_t *out) {
  for (int i = 0; i < count; i += 16) {
    __mmask16 mask = count - i >= 16 ? 0xffff : (__mmask16)((1 << (count - i)) - 1);
    __m256i half = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_mask_storeu_epi16(out + i, mask, half);
  }
}
#endif

#if RK_X86
RK_AVX2 static void halves_avx2(const float *x, int count, uint16_t *out) {
  int i = 0;
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128((__m128i *)(void *)(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  narrow_portable(RK_KV_F16, x + i, count - i, out + i);
}
#endif

static void narrow(rk_kv_type type, const float *x, int count, uint16_t *out) {
#if RK_X86
  if (type == RK_KV_F16 && rk_has_avx512_vnni()) {
    halves_avx512(x, count, out);
    return;
  }
  if (type == RK_KV_F16 && rk_has_avx2()) {
    halves_avx2(x, count, out);
    return;
  }
#endif
  if (type == RK_KV_BF16) rk_f32_to_bf16(x, out, (size_t)count);
  else narrow_portable(type, x, count, out);
}

size_t rk_kv_token_bytes(rk_kv_type type, int head_dim) {
  size_t dim = (size_t)head_dim;
  if (type == RK_KV_INT8) return 2 * dim + 4 * (size_t)(KEY_GROUPS(head_dim) + 1);
  return 2 * dim * (type == RK_KV_F32 ? 4 : 2);
}

void rk_kv_store(const rk_kv_view *v, const int32_t *table, int position, const float *key, const float *value) {
  int slot = position % v->block_size, dim = v->head_dim;
  uint16_t half[MAX_DIM];
  for (int h = 0; h < v->kv_heads; h++, key += dim, value += dim) {
    uint8_t *base = (uint8_t *)(uintptr_t)block_keys(v, table, position, h);
    float *wide = (float *)(void *)base;
    uint16_t *narrowed = (uint16_t *)(void *)base;
    if (v->type == RK_KV_INT8) {
      rk_kv_store_codes(v, base, slot, key, value);
      continue;
    }
    if (v->type == RK_KV_F32) {
      for (int d = 0; d < dim; d++) wide[key_index(v, slot, d)] = key[d];
      memcpy(wide + value_index(v, slot, 0), value, (size_t)dim * sizeof(float));
      continue;
    }
    narrow(v->type, key, dim, half);
    if (v->type == RK_KV_BF16) {
      for (int d = 0; d < dim; d += 2) memcpy(narrowed + key_index(v, slot, d), half + d, 4);
      narrow(v->type, value, dim, half);
      for (int d = 0; d < dim; d++) narrowed[value_index(v, slot, d)] = half[d];
    } else {
      for (int d = 0; d < dim; d++) narrowed[key_index(v, slot, d)] = half[d];
      narrow(v->type, value, dim, narrowed + value_index(v, slot, 0));
    }
  }
}

// MARK: Portable twin

static float load(const rk_kv_view *v, const uint8_t *base, size_t index) {
  const uint16_t *half = (const uint16_t *)(const void *)base;
  switch (v->type) {
    case RK_KV_F16: return rk_half_to_float(half[index]);
    case RK_KV_BF16: return rk_bf16_to_float(half[index]);
    default: return ((const float *)(const void *)base)[index];
  }
}

static float load_key(const rk_kv_view *v, const uint8_t *base, int slot, int d) {
  if (v->type != RK_KV_INT8) return load(v, base, key_index(v, slot, d));
  const float *scales = (const float *)(const void *)base;
  int code = base[scale_bytes(v) + key_index(v, slot, d)] - 128;
  return (float)code * scales[key_scale_index(v, slot, d)];
}

static float load_value(const rk_kv_view *v, const uint8_t *base, int slot, int d) {
  if (v->type != RK_KV_INT8) return load(v, base, value_index(v, slot, d));
  const float *scales = (const float *)(const void *)base;
  int code = (int8_t)base[scale_bytes(v) + value_index(v, slot, d)];
  return (float)code * scales[value_scale_index(v, slot)];
}

static void portable_chunk(const rk_kv_view *v, int kv_head, row_tile *t, int r, int start, int count) {
  float *acc = t->acc + r * MAX_DIM, *scores = t->scores + r * CHUNK, top = t->max[r];
  int dim = v->head_dim;
  for (int j = 0; j < count; j++) {
    const uint8_t *base = block_keys(v, t->table[r], start + j, kv_head);
    int slot = (start + j) % v->block_size;
    float s = 0;
    for (int d = 0; d < dim; d++) s = fmaf(t->query[r][d], load_key(v, base, slot, d), s);
    scores[j] = s * v->scale;
    top = scores[j] > top ? scores[j] : top;
  }
  float correction = rk_expf(t->max[r] - top);
  t->max[r] = top;
  t->sum[r] *= correction;
  for (int d = 0; d < dim; d++) acc[d] *= correction;
  for (int j = 0; j < count; j++) {
    const uint8_t *base = block_keys(v, t->table[r], start + j, kv_head);
    int slot = (start + j) % v->block_size;
    float p = rk_expf(scores[j] - top);
    t->sum[r] += p;
    for (int d = 0; d < dim; d++) acc[d] = fmaf(p, load_value(v, base, slot, d), acc[d]);
  }
}

// MARK: Entry

size_t rk_attention_scratch(int head_dim) {
  (void)head_dim;
  return ROWS * (MAX_DIM + CHUNK + MAX_DIM / 2 + CHUNK / 2 + MAX_DIM) + 64;
}

static void run(const rk_kv_view *v, int kv_head, row_tile *t, int row, int rows, int from, int to) {
  chunk_function chunks = rk_attention_chunks(v->type, rows);
  if (!chunks) chunks = rk_attention_chunks_avx2(v->type, rows);
  if (chunks) {
    chunks(v, kv_head, t, row, from, to);
    return;
  }
  for (int r = row; r < row + rows; r++) {
    int end = t->limit[r] < to ? t->limit[r] : to;
    for (int start = from; start < end; start += CHUNK)
      portable_chunk(v, kv_head, t, r, start, end - start < CHUNK ? end - start : CHUNK);
  }
}

// Notes that the tokens first ..< limit of a table are read next; null for none.
static void follow(row_tile *t, const int32_t *table, int first, int limit) {
  t->next_table = first < limit ? table : NULL;
  t->next_start = first;
  t->next_limit = limit;
}

// Rows whose tables differ read `shared` tokens together and the rest each with those of the same table.
// `after` is the first row of the next tile, or null.
static void run_tile(const rk_kv_view *v, int kv_head, row_tile *t, int rows, int shared,
                     const rk_attention_row *after) {
  for (int begin = 0, end; begin < rows; begin = end) {
    int limit = t->limit[begin];
    for (end = begin + 1; end < rows && t->table[end] == t->table[begin]; end++)
      limit = t->limit[end] > limit ? t->limit[end] : limit;
    if (begin == 0 && end == rows) shared = 0;
    else if (begin == 0 && shared > 0) {
      follow(t, t->table[0], shared, limit);
      run(v, kv_head, t, 0, rows, 0, shared);
    }
    if (end < rows) follow(t, t->table[end], shared, t->limit[end]);
    else if (after) follow(t, after->table, 0, after->limit);
    else follow(t, NULL, 0, 0);
    run(v, kv_head, t, begin, end - begin, shared, limit);
  }
}

static void start_row(const rk_kv_view *v, row_tile *t, int i) {
  int dim = v->head_dim;
  t->max[i] = -INFINITY;
  t->sum[i] = 0;
  memset(t->acc + i * MAX_DIM, 0, sizeof(float) * (size_t)dim);
  if (v->type == RK_KV_BF16) rk_f32_to_bf16(t->query[i], (uint16_t *)(t->pairs + i * (MAX_DIM / 2)), (size_t)dim);
  if (v->type == RK_KV_INT8) rk_query_codes(v, t, i);
}

void rk_attention(const rk_kv_view *v, const rk_attention_row *rows, int count, int shared, int kv_head,
                  const float *query, size_t q_stride, float *out, size_t out_stride, float *scratch) {
  int group = v->heads / v->kv_heads, total = count * group, dim = v->head_dim;
  row_tile t = {.acc = scratch, .scores = scratch + ROWS * MAX_DIM};
  t.pairs = (uint32_t *)(void *)(t.scores + ROWS * CHUNK);
  t.weights = t.pairs + ROWS * MAX_DIM / 2;
  t.rotated = (float *)(void *)(t.weights + ROWS * CHUNK / 2);
  for (int begin = 0; begin < total; begin += ROWS) {
    int in_tile = total - begin < ROWS ? total - begin : ROWS;
    for (int i = 0; i < in_tile; i++) {
      const rk_attention_row *row = rows + (begin + i) / group;
      size_t column = (size_t)((kv_head * group + (begin + i) % group) * dim);
      t.query[i] = query + (size_t)row->row * q_stride + column;
      t.out[i] = out + (size_t)row->row * out_stride + column;
      t.table[i] = row->table;
      t.limit[i] = row->limit;
      start_row(v, &t, i);
    }
    run_tile(v, kv_head, &t, in_tile, shared, begin + ROWS < total ? rows + (begin + ROWS) / group : NULL);
    for (int i = 0; i < in_tile; i++) {
      float inverse = t.sum[i] > 0 ? 1.0f / t.sum[i] : 0;
      for (int d = 0; d < dim; d++) t.out[i][d] = t.acc[i * MAX_DIM + d] * inverse;
    }
  }
}
