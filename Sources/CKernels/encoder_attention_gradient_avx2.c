// The gradient of encoder attention with AVX2, in Float32 (encoder_attention_gradient.c): tiles of 4 rows and 16
// columns, 8 sums.
#include "avx2_tile.h"
#include "encoder_gradient_head.h"

#if RK_X86
enum { TILE_ROWS = 4 };

// Rows of `padded` numbers; from `valid` to `count` they are zero.
RK_AVX2_BODY void pack_rows(const gradient_head *h, const float *source, size_t stride, int valid, int count,
                            uint32_t *target) {
  float *out = (float *)(void *)target;
  for (int i = 0; i < count; i++, out += h->padded)
    for (int c = 0; c < h->padded; c += 8)
      _mm256_storeu_ps(out + c, avx2_load_some(source + (size_t)i * stride + c, i < valid ? h->dim - c : 0));
}

RK_AVX2_BODY void clear(__m256 x[6][8]) {
  RK_UNROLL
  for (int r = 0; r < TILE_ROWS; r++) x[r][0] = x[r][1] = _mm256_setzero_ps();
}

// Weights and slopes of 4 rows from `row` of the block on for the 16 keys from key `key` of the block on. limit[r]:
// keys of the block, from its first, that the row reads.
RK_AVX2_BODY void weigh(const gradient_head *h, int block_key, int key, int row, const int *limit, float scale) {
  const size_t place = (size_t)(block_key + key) * (size_t)h->dim;
  const uint8_t *keys = (const uint8_t *)(h->keys + place), *values = (const uint8_t *)(h->values + place);
  const float *query = (const float *)(const void *)h->query + row * h->padded;
  const float *gradient = (const float *)(const void *)h->gradient + row * h->padded;
  float *weights = (float *)(void *)h->weights + row * BLOCK_KEYS + key;
  float *slopes = (float *)(void *)h->slopes + row * BLOCK_KEYS + key;
  __m256 s[6][8];
  clear(s);
  avx2_multiply(TILE_ROWS, 1, TILE_F32, query, 1, (size_t)h->padded, &keys, 64, h->dim, s);
  RK_UNROLL
  for (int r = 0; r < TILE_ROWS; r++)
    for (int i = 0; i < 2; i++) {
      __m256 x = _mm256_fmadd_ps(s[r][i], _mm256_set1_ps(scale), _mm256_set1_ps(h->offset[row + r]));
      __m256 mask = _mm256_castsi256_ps(avx2_mask(limit[r] - key - 8 * i));
      _mm256_storeu_ps(weights + r * BLOCK_KEYS + 8 * i, _mm256_and_ps(mask, avx2_exp(x)));
    }
  clear(s);
  avx2_multiply(TILE_ROWS, 1, TILE_F32, gradient, 1, (size_t)h->padded, &values, 64, h->dim, s);
  RK_UNROLL
  for (int r = 0; r < TILE_ROWS; r++)
    for (int i = 0; i < 2; i++) {
      __m256 p = _mm256_loadu_ps(weights + r * BLOCK_KEYS + 8 * i);
      __m256 slope = _mm256_mul_ps(p, _mm256_sub_ps(s[r][i], _mm256_set1_ps(h->product[row + r])));
      _mm256_storeu_ps(slopes + r * BLOCK_KEYS + 8 * i, slope);
    }
}

// sums[r] += Σ_k a[k · step + r · row] · b[k], for `count` (a multiple of 4) rows and every column.
RK_AVX2 static void add_rows(const uint32_t *a, size_t step, size_t row, const uint32_t *b, float *sums, int padded,
                             int steps, int count) {
  for (int r = 0; r < count; r += TILE_ROWS)
    for (int c = 0; c < padded; c += 16) {
      const float *numbers = (const float *)(const void *)a + (size_t)r * row;
      const uint8_t *columns = (const uint8_t *)(b + c);
      float *at = sums + r * padded + c;
      __m256 x[6][8];
      RK_UNROLL
      for (int i = 0; i < TILE_ROWS; i++) {
        x[i][0] = _mm256_loadu_ps(at + i * padded);
        x[i][1] = _mm256_loadu_ps(at + i * padded + 8);
      }
      avx2_multiply(TILE_ROWS, 1, TILE_F32, numbers, step, row, &columns, 4 * (size_t)padded, steps, x);
      RK_UNROLL
      for (int i = 0; i < TILE_ROWS; i++) {
        _mm256_storeu_ps(at + i * padded, x[i][0]);
        _mm256_storeu_ps(at + i * padded + 8, x[i][1]);
      }
    }
}

// Adds what a block of `rows` (a multiple of 4) rows from `first` on and `keys` keys from `block_key` on give.
RK_AVX2 static void block(const gradient_head *h, int first, int rows, int block_key, int keys, int causal,
                          float scale) {
  for (int i = 0; i < rows; i += TILE_ROWS) {
    // Causal: keys that a unit of rows reads; what the products below read is written for all of the unit.
    int end = causal ? first + i / UNIT * UNIT + UNIT - block_key : keys, limit[TILE_ROWS];
    if (end > keys) end = keys;
    for (int r = 0; r < TILE_ROWS; r++) {
      int own = first + i + r + 1 - block_key;
      limit[r] = causal && own < keys ? own : keys;
    }
    for (int key = 0; key < end; key += 16) weigh(h, block_key, key, i, limit, scale);
  }
  for (int key = 0; key < keys; key += UNIT) {
    int start = causal && block_key + key > first ? block_key + key - first : 0;
    if (start >= rows) break;
    size_t at = (size_t)start * BLOCK_KEYS + (size_t)key, skipped = (size_t)(start * h->padded);
    size_t sums = (size_t)(block_key + key) * (size_t)h->padded;
    add_rows(h->weights + at, BLOCK_KEYS, 1, h->gradient_rows + skipped, h->value_sums + sums, h->padded, rows - start,
             UNIT);
    add_rows(h->slopes + at, BLOCK_KEYS, 1, h->query_rows + skipped, h->key_sums + sums, h->padded, rows - start,
             UNIT);
  }
  for (int i = 0; i < rows; i += UNIT) {
    int end = causal && first + i + UNIT - block_key < keys ? first + i + UNIT - block_key : keys;
    if (end <= 0) continue;
    add_rows(h->slopes + i * BLOCK_KEYS, 1, BLOCK_KEYS, h->key_rows + (size_t)block_key * (size_t)h->padded,
             h->query_sums + i * h->padded, h->padded, end, rows - i >= UNIT ? UNIT : TILE_ROWS);
  }
}

// result = factor · sums, `count` rows.
RK_AVX2_BODY void finish(const gradient_head *h, const float *sums, float *result, size_t stride, int count,
                         float factor) {
  for (int i = 0; i < count; i++)
    for (int c = 0; c < h->dim; c += 8)
      avx2_store_some(result + (size_t)i * stride + c, h->dim - c,
                      _mm256_mul_ps(_mm256_loadu_ps(sums + (size_t)i * (size_t)h->padded + c), _mm256_set1_ps(factor)));
}

// Everything that the products read of the rows from `first` on.
RK_AVX2 static void pack_block(const rk_encoder_gradient *x, const gradient_head *h, int head, int first, int valid,
                               int rows) {
  const size_t column = (size_t)head * (size_t)h->dim;
  const float *gradient = x->gradient + (size_t)first * x->gradient_stride + column;
  const float *output = x->output + (size_t)first * x->output_stride + column;
  pack_rows(h, x->query + (size_t)first * x->query_stride + column, x->query_stride, valid, rows, h->query);
  pack_rows(h, gradient, x->gradient_stride, valid, rows, h->gradient);
  for (int i = 0; i < rows; i++) {
    h->offset[i] = -INFINITY;
    h->product[i] = 0;
    if (i >= valid) continue;
    __m256 sum = _mm256_setzero_ps();
    for (int c = 0; c < h->dim; c += 8)
      sum = _mm256_fmadd_ps(avx2_load_some(gradient + (size_t)i * x->gradient_stride + c, h->dim - c),
                            avx2_load_some(output + (size_t)i * x->output_stride + c, h->dim - c), sum);
    h->product[i] = avx2_sum(sum);
    h->offset[i] = -x->log_sum_exp[(size_t)(first + i) * x->log_sum_exp_stride + (size_t)head];
  }
}

RK_AVX2 void rk_encoder_gradient_avx2(const rk_encoder_gradient *x, const gradient_head *h) {
  avx2_pack_lines(x->key, x->key_stride, h->length, h->dim, h->dim, (float *)(void *)h->keys);
  avx2_pack_lines(x->value, x->value_stride, h->length, h->dim, h->dim, (float *)(void *)h->values);
  pack_rows(h, x->key, x->key_stride, h->length, h->tokens, h->key_rows);
  memset(h->key_sums, 0, 4 * (size_t)h->tokens * (size_t)h->padded);
  memset(h->value_sums, 0, 4 * (size_t)h->tokens * (size_t)h->padded);
  for (int head = 0; head < x->heads; head++)
    for (int first = 0; first < h->length; first += BLOCK_ROWS) {
      int valid = h->length - first < BLOCK_ROWS ? h->length - first : BLOCK_ROWS, rows = (valid + 3) / 4 * 4;
      pack_block(x, h, head, first, valid, rows);
      memset(h->query_sums, 0, 4 * (size_t)rows * (size_t)h->padded);
      int end = x->causal ? first + valid : h->length;
      for (int key = 0; key < end; key += BLOCK_KEYS)
        block(h, first, rows, key, end - key < BLOCK_KEYS ? end - key : BLOCK_KEYS, x->causal, x->scale);
      finish(h, h->query_sums, x->query_gradient + (size_t)first * x->result_stride + head * h->dim, x->result_stride,
             valid, x->scale);
    }
  finish(h, h->key_sums, x->key_gradient, x->result_stride, h->length, x->scale);
  finish(h, h->value_sums, x->value_gradient, x->result_stride, h->length, 1);
}
#endif
