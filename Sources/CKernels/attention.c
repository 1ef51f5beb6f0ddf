// Attention over a paged cache with an online softmax (Milakov and Gimelshein, 2018).
//
// Work goes tile by tile: up to 6 query rows of one key head against chunks of 64 tokens that start at multiples
// of 64, so that a row's order of sums depends on its position alone. Keys lie transposed, 16 tokens to a
// vector, which spares every horizontal sum.
#include "internal.h"

#define CHUNK 64
#define ROWS 6
#define MAX_DIM 256

static size_t element(const rk_kv_view *v) { return v->half ? 2 : 4; }

static size_t head_bytes(const rk_kv_view *v) { return 2 * (size_t)v->block_size * (size_t)v->head_dim * element(v); }

static const uint8_t *block_keys(const rk_kv_view *v, const int32_t *table, int token, int kv_head) {
  return v->cache + (size_t)table[token / v->block_size] * v->block_stride + (size_t)kv_head * head_bytes(v);
}

static void halves_portable(const float *x, int count, uint16_t *out) {
  for (int i = 0; i < count; i++) out[i] = rk_float_to_half(x[i]);
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

static void halves(const float *x, int count, uint16_t *out) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    halves_avx512(x, count, out);
    return;
  }
#endif
  halves_portable(x, count, out);
}

void rk_kv_store(const rk_kv_view *v, const int32_t *table, int position, const float *key, const float *value) {
  int slot = position % v->block_size, dim = v->head_dim;
  uint16_t half[MAX_DIM];
  for (int h = 0; h < v->kv_heads; h++, key += dim, value += dim) {
    uint8_t *base = (uint8_t *)(uintptr_t)block_keys(v, table, position, h);
    size_t keys_at = (size_t)(slot / 16) * (size_t)dim * 16 + (size_t)(slot % 16);
    size_t values_at = (size_t)v->block_size * (size_t)dim + (size_t)slot * (size_t)dim;
    if (v->half) {
      uint16_t *keys = (uint16_t *)(void *)base + keys_at;
      halves(key, dim, half);
      for (int d = 0; d < dim; d++) keys[d * 16] = half[d];
      halves(value, dim, (uint16_t *)(void *)base + values_at);
    } else {
      float *keys = (float *)(void *)base + keys_at;
      for (int d = 0; d < dim; d++) keys[d * 16] = key[d];
      memcpy((float *)(void *)base + values_at, value, (size_t)dim * sizeof(float));
    }
  }
}

size_t rk_attention_scratch(int head_dim) { (void)head_dim; return ROWS * (MAX_DIM + CHUNK) + 64; }

typedef struct {
  const float *q[ROWS];
  float *out[ROWS];
  int limit[ROWS];  // tokens that the row may read
  float *acc;       // [ROWS][MAX_DIM]
  float *scores;    // [ROWS][CHUNK]
} row_tile;

// MARK: Portable twin

static float load(const rk_kv_view *v, const uint8_t *base, size_t index) {
  return v->half ? rk_half_to_float(((const uint16_t *)base)[index]) : ((const float *)base)[index];
}

static void portable_tile(const rk_kv_view *v, const int32_t *table, int kv_head, row_tile *t, int rows) {
  int dim = v->head_dim;
  for (int r = 0; r < rows; r++) {
    float max = -INFINITY, sum = 0, *acc = t->acc + r * MAX_DIM, *scores = t->scores + r * CHUNK;
    memset(acc, 0, sizeof(float) * (size_t)dim);
    for (int start = 0; start < t->limit[r]; start += CHUNK) {
      int count = t->limit[r] - start < CHUNK ? t->limit[r] - start : CHUNK;
      float chunk_max = max;
      for (int j = 0; j < count; j++) {
        const uint8_t *base = block_keys(v, table, start + j, kv_head);
        int slot = (start + j) % v->block_size;
        float s = 0;
        for (int d = 0; d < dim; d++)
          s = fmaf(t->q[r][d], load(v, base, ((size_t)(slot / 16) * (size_t)dim + (size_t)d) * 16 + (size_t)(slot % 16)), s);
        scores[j] = s * v->scale;
        chunk_max = scores[j] > chunk_max ? scores[j] : chunk_max;
      }
      float correction = rk_expf(max - chunk_max);
      max = chunk_max;
      sum *= correction;
      for (int d = 0; d < dim; d++) acc[d] *= correction;
      for (int j = 0; j < count; j++) {
        const uint8_t *base = block_keys(v, table, start + j, kv_head);
        size_t at = ((size_t)v->block_size + (size_t)((start + j) % v->block_size)) * (size_t)dim;
        float p = rk_expf(scores[j] - max);
        sum += p;
        for (int d = 0; d < dim; d++) acc[d] = fmaf(p, load(v, base, at + (size_t)d), acc[d]);
      }
    }
    float inverse = sum > 0 ? 1.0f / sum : 0;
    for (int d = 0; d < dim; d++) t->out[r][d] = acc[d] * inverse;
  }
}

// MARK: AVX-512

#if RK_X86
#define INLINE RK_AVX512 static inline __attribute__((always_inline))

INLINE __m512 load16(const uint8_t *p, int half) {
  return half ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)) : _mm512_loadu_ps((const float *)p);
}

INLINE __m512 load_tail(const uint8_t *p, int half, __mmask16 mask) {
  return half ? _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p)) : _mm512_maskz_loadu_ps(mask, p);
}

INLINE __m512 exp16(__m512 x) {
  const __m512 low = _mm512_set1_ps(-87.33654f);
  __mmask16 alive = _mm512_cmp_ps_mask(x, low, _CMP_GE_OQ);
  x = _mm512_max_ps(x, low);
  __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), 8);
  __m512 f = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  f = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), f);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.0000001201e-1f));
  p = _mm512_fmadd_ps(_mm512_mul_ps(p, f), f, _mm512_add_ps(f, _mm512_set1_ps(1.0f)));
  return _mm512_maskz_scalef_ps(alive, p, n);
}

// Scores of R rows for `groups` (1...4) groups of 16 tokens.
INLINE void score_groups(const rk_kv_view *v, const uint8_t *const *keys, int groups, row_tile *t, int R, int half) {
  __m512 s[ROWS][4];
  size_t bytes = half ? 32 : 64;
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < 4; g++) s[r][g] = _mm512_setzero_ps();
  if (groups == 4) {
    for (int d = 0; d < v->head_dim; d++) {
      __m512 k0 = load16(keys[0] + (size_t)d * bytes, half), k1 = load16(keys[1] + (size_t)d * bytes, half);
      __m512 k2 = load16(keys[2] + (size_t)d * bytes, half), k3 = load16(keys[3] + (size_t)d * bytes, half);
      RK_UNROLL
      for (int r = 0; r < R; r++) {
        __m512 q = _mm512_set1_ps(t->q[r][d]);
        s[r][0] = _mm512_fmadd_ps(q, k0, s[r][0]);
        s[r][1] = _mm512_fmadd_ps(q, k1, s[r][1]);
        s[r][2] = _mm512_fmadd_ps(q, k2, s[r][2]);
        s[r][3] = _mm512_fmadd_ps(q, k3, s[r][3]);
      }
    }
  } else {
    for (int g = 0; g < groups; g++)
      for (int d = 0; d < v->head_dim; d++) {
        __m512 k = load16(keys[g] + (size_t)d * bytes, half);
        RK_UNROLL
        for (int r = 0; r < R; r++) s[r][g] = _mm512_fmadd_ps(_mm512_set1_ps(t->q[r][d]), k, s[r][g]);
      }
  }
  __m512 scale = _mm512_set1_ps(v->scale);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < groups; g++)
      _mm512_storeu_ps(t->scores + r * CHUNK + 16 * g, _mm512_mul_ps(s[r][g], scale));
}

// acc[r] = acc[r] · correction[r] + Σ_j p[r][j] · value[j], 64 columns at a time.
INLINE void accumulate(const rk_kv_view *v, const uint8_t *const *values, int count, const float *correction,
                       row_tile *t, int R, int half) {
  size_t bytes = half ? 2 : 4, row = (size_t)v->head_dim * bytes;
  for (int c = 0; c < v->head_dim; c += 64) {
    __mmask16 mask[4];
    for (int i = 0; i < 4; i++) {
      int left = v->head_dim - c - 16 * i;
      mask[i] = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    }
    __m512 a[ROWS][4];
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int i = 0; i < 4; i++)
        a[r][i] = _mm512_mul_ps(_mm512_loadu_ps(t->acc + r * MAX_DIM + c + 16 * i), _mm512_set1_ps(correction[r]));
    int full = mask[3] == 0xffff;
    for (int j = 0; j < count; j++) {
      const uint8_t *p = values[j / 16] + (size_t)(j % 16) * row + (size_t)c * bytes;
      __m512 x0, x1, x2, x3;
      if (full) {
        x0 = load16(p, half), x1 = load16(p + 16 * bytes, half);
        x2 = load16(p + 32 * bytes, half), x3 = load16(p + 48 * bytes, half);
      } else {
        x0 = load_tail(p, half, mask[0]), x1 = load_tail(p + 16 * bytes, half, mask[1]);
        x2 = load_tail(p + 32 * bytes, half, mask[2]), x3 = load_tail(p + 48 * bytes, half, mask[3]);
      }
      RK_UNROLL
      for (int r = 0; r < R; r++) {
        __m512 w = _mm512_set1_ps(t->scores[r * CHUNK + j]);
        a[r][0] = _mm512_fmadd_ps(w, x0, a[r][0]);
        a[r][1] = _mm512_fmadd_ps(w, x1, a[r][1]);
        a[r][2] = _mm512_fmadd_ps(w, x2, a[r][2]);
        a[r][3] = _mm512_fmadd_ps(w, x3, a[r][3]);
      }
    }
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int i = 0; i < 4; i++) _mm512_storeu_ps(t->acc + r * MAX_DIM + c + 16 * i, a[r][i]);
  }
}

INLINE void wide_tile(const rk_kv_view *v, const int32_t *table, int kv_head, row_tile *t, int R, int half) {
  float max[ROWS], sum[ROWS], correction[ROWS];
  int limit = 0, dim = v->head_dim;
  size_t bytes = half ? 2 : 4;
  for (int r = 0; r < R; r++) {
    max[r] = -INFINITY;
    sum[r] = 0;
    limit = t->limit[r] > limit ? t->limit[r] : limit;
  }
  memset(t->acc, 0, sizeof(float) * (size_t)(R * MAX_DIM));
  for (int start = 0; start < limit; start += CHUNK) {
    int count = limit - start < CHUNK ? limit - start : CHUNK, groups = (count + 15) / 16;
    const uint8_t *keys[4], *values[4];
    for (int g = 0; g < groups; g++) {
      int token = start + 16 * g, slot = token % v->block_size;
      const uint8_t *base = block_keys(v, table, token, kv_head);
      keys[g] = base + (size_t)slot * (size_t)dim * bytes;
      values[g] = base + ((size_t)v->block_size + (size_t)slot) * (size_t)dim * bytes;
    }
    score_groups(v, keys, groups, t, R, half);
    for (int r = 0; r < R; r++) {
      float *s = t->scores + r * CHUNK;
      __m512 x[4], best = _mm512_set1_ps(-INFINITY);
      for (int g = 0; g < 4; g++) {
        int left = t->limit[r] - start - 16 * g;
        __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
        x[g] = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), mask, s + 16 * g);
        best = _mm512_max_ps(best, x[g]);
      }
      float top = _mm512_reduce_max_ps(best);
      top = top > max[r] ? top : max[r];
      // A row whose tokens all lie before this chunk keeps its sums: correction exp(0) = 1, weights 0.
      correction[r] = max[r] == top ? 1.0f : rk_expf(max[r] - top);
      max[r] = top;
      __m512 total = _mm512_setzero_ps(), m = _mm512_set1_ps(top);
      for (int g = 0; g < 4; g++) {
        __m512 p = exp16(_mm512_sub_ps(x[g], m));
        total = _mm512_add_ps(total, p);
        _mm512_storeu_ps(s + 16 * g, p);
      }
      sum[r] = sum[r] * correction[r] + _mm512_reduce_add_ps(total);
    }
    accumulate(v, values, count, correction, t, R, half);
  }
  for (int r = 0; r < R; r++) {
    float inverse = sum[r] > 0 ? 1.0f / sum[r] : 0;
    for (int d = 0; d < dim; d++) t->out[r][d] = t->acc[r * MAX_DIM + d] * inverse;
  }
}

#define WIDE(R, HALF)                                                                                     \
  RK_AVX512 static void wide_##R##_##HALF(const rk_kv_view *v, const int32_t *table, int kv_head, row_tile *t) { \
    wide_tile(v, table, kv_head, t, R, HALF);                                                             \
  }
WIDE(1, 0) WIDE(2, 0) WIDE(3, 0) WIDE(4, 0) WIDE(5, 0) WIDE(6, 0)
WIDE(1, 1) WIDE(2, 1) WIDE(3, 1) WIDE(4, 1) WIDE(5, 1) WIDE(6, 1)
typedef void (*wide_function)(const rk_kv_view *, const int32_t *, int, row_tile *);
static const wide_function wide_tiles[2][ROWS] = {{wide_1_0, wide_2_0, wide_3_0, wide_4_0, wide_5_0, wide_6_0},
                                                  {wide_1_1, wide_2_1, wide_3_1, wide_4_1, wide_5_1, wide_6_1}};
#endif

// MARK: Entry

void rk_attention(const rk_kv_view *v, const int32_t *table, int first, int row_begin, int row_end, int kv_head,
                  const float *query, size_t q_stride, float *out, size_t out_stride, float *scratch) {
  int group = v->heads / v->kv_heads, total = (row_end - row_begin) * group, dim = v->head_dim;
  row_tile t = {.acc = scratch, .scores = scratch + ROWS * MAX_DIM};
  for (int begin = 0; begin < total; begin += ROWS) {
    int rows = total - begin < ROWS ? total - begin : ROWS;
    for (int i = 0; i < rows; i++) {
      int row = row_begin + (begin + i) / group, head = kv_head * group + (begin + i) % group;
      t.q[i] = query + (size_t)row * q_stride + (size_t)(head * dim);
      t.out[i] = out + (size_t)row * out_stride + (size_t)(head * dim);
      t.limit[i] = first + row + 1;
    }
#if RK_X86
    if (rk_has_avx512_vnni()) {
      wide_tiles[v->half != 0][rows - 1](v, table, kv_head, &t);
      continue;
    }
#endif
    portable_tile(v, table, kv_head, &t, rows);
  }
}
