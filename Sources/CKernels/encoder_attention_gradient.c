// The gradient of attention within one packed sequence, for one key head and the query heads that share it.
//
// Weights come again from the log-sum-exp, block by block: p = exp(scale · q·k − lse), ds = p · (do·v − do·o).
// Then dv = Σ p · do, dk = scale · Σ ds · q, dq = scale · Σ ds · k. Keys and values are packed once, queries and
// the outputs' gradient in blocks of BLOCK rows; sums of keys and values stay in scratch until the last block.
// The order of every sum follows from the sequence and the heads alone.
#include "encoder_gradient_head.h"
#include "wide_math.h"

#if RK_X86
#define RK_FN(name) plain_##name
#define RK_TARGET RK_AVX512
#define RK_PAIRED 0
#include "encoder_attention_gradient_tile.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_PAIRED

#define RK_FN(name) paired_##name
#define RK_TARGET RK_AVX512_BF16
#define RK_PAIRED 1
#include "encoder_attention_gradient_tile.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_PAIRED
#endif

static float dot(const float *a, const float *b, int n) {
  float sum = 0;
  for (int i = 0; i < n; i++) sum = fmaf(a[i], b[i], sum);
  return sum;
}

static void add_product(float *y, float a, const float *x, int n) {
  for (int i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static void portable_head(const rk_encoder_gradient *x, int head) {
  const int dim = x->head_dim, column = head * dim;
  for (int i = 0; i < x->length; i++) {
    const float *query = x->query + (size_t)i * x->query_stride + column;
    const float *gradient = x->gradient + (size_t)i * x->gradient_stride + column;
    float *query_sum = x->query_gradient + (size_t)i * x->result_stride + column;
    float lse = x->log_sum_exp[(size_t)i * x->log_sum_exp_stride + (size_t)head];
    float product = dot(gradient, x->output + (size_t)i * x->output_stride + column, dim);
    for (int d = 0; d < dim; d++) query_sum[d] = 0;
    int end = x->causal ? i + 1 : x->length;
    for (int j = 0; j < end; j++) {
      const float *key = x->key + (size_t)j * x->key_stride, *value = x->value + (size_t)j * x->value_stride;
      float p = rk_expf(dot(query, key, dim) * x->scale - lse);
      float slope = p * (dot(gradient, value, dim) - product) * x->scale;
      add_product(query_sum, slope, key, dim);
      add_product(x->key_gradient + (size_t)j * x->result_stride, slope, query, dim);
      add_product(x->value_gradient + (size_t)j * x->result_stride, p, gradient, dim);
    }
  }
}

static void portable(const rk_encoder_gradient *x) {
  for (int j = 0; j < x->length; j++)
    for (int d = 0; d < x->head_dim; d++) {
      x->key_gradient[(size_t)j * x->result_stride + (size_t)d] = 0;
      x->value_gradient[(size_t)j * x->result_stride + (size_t)d] = 0;
    }
  for (int head = 0; head < x->heads; head++) portable_head(x, head);
}

void rk_touch_rows(const float *x, size_t stride, int rows, int width) {
  for (int row = 0; row < rows; row++)
    for (int c = 0; c < width; c += 16) __builtin_prefetch(x + (size_t)row * stride + c, 0, 2);
}

static size_t rounded(size_t n, size_t to) { return (n + to - 1) / to * to; }

size_t rk_encoder_attention_gradient_scratch(int length, int head_dim) {
  size_t tokens = rounded((size_t)length, 16), padded = rounded((size_t)head_dim, 16);
  return 4 * (5 * tokens * padded + 5 * BLOCK_ROWS * padded + 3 * BLOCK_ROWS * BLOCK_KEYS + 2 * BLOCK_ROWS) + 64;
}

static uint32_t *take(uint32_t **memory, size_t words) {
  uint32_t *taken = *memory;
  *memory += words;
  return taken;
}

void rk_encoder_attention_gradient(const rk_encoder_gradient *x, int narrow, void *scratch) {
#if RK_X86
  if (rk_has_avx512_vnni() || rk_has_avx2()) {
    int paired = narrow && rk_has_avx512_bf16();
    gradient_head h = {.dim = x->head_dim, .length = x->length};
    h.padded = (int)rounded((size_t)h.dim, 16);
    h.tokens = (int)rounded((size_t)h.length, 16);
    h.steps = paired ? (h.dim + 1) / 2 : h.dim;
    uint32_t *memory = scratch;
    size_t all = (size_t)h.tokens * (size_t)h.padded, some = (size_t)BLOCK_ROWS * (size_t)h.padded;
    h.keys = take(&memory, all);
    h.values = take(&memory, all);
    h.key_rows = take(&memory, all);
    h.key_sums = (float *)(void *)take(&memory, all);
    h.value_sums = (float *)(void *)take(&memory, all);
    h.query = take(&memory, some);
    h.gradient = take(&memory, some);
    h.query_rows = paired ? take(&memory, some) : h.query;
    h.gradient_rows = paired ? take(&memory, some) : h.gradient;
    h.query_sums = (float *)(void *)take(&memory, some);
    h.offset = (float *)(void *)take(&memory, BLOCK_ROWS);
    h.product = (float *)(void *)take(&memory, BLOCK_ROWS);
    h.weights = take(&memory, BLOCK_ROWS * BLOCK_KEYS);
    h.slopes = take(&memory, BLOCK_ROWS * BLOCK_KEYS);
    h.slope_rows = paired ? take(&memory, BLOCK_ROWS * BLOCK_KEYS) : h.slopes;
    if (paired) paired_run(x, &h);
    else if (rk_has_avx512_vnni()) plain_run(x, &h);
    else rk_encoder_gradient_avx2(x, &h);
    return;
  }
#endif
  (void)narrow;
  (void)scratch;
  portable(x);
}
