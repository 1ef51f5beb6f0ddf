// Attention within one packed sequence, one head at a time.
//
// Keys and values of the head are packed once (transposed keys give one vector of 16 scores without a horizontal
// sum), then up to 6 query rows go through together: scores of the whole row, softmax, weighted sum. A row's
// arithmetic depends on its own sequence alone.
#include "encoder_head.h"
#include "wide_math.h"

#if RK_X86
#define RK_FN(name) plain_##name
#define RK_TARGET RK_AVX512
#define RK_PAIRED 0
#include "encoder_attention_tile.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_PAIRED

#define RK_FN(name) paired_##name
#define RK_TARGET RK_AVX512_BF16
#define RK_PAIRED 1
#include "encoder_attention_tile.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_PAIRED
#endif

static void portable_row(const rk_encoder_head *x, int row, float *scores) {
  const float *query = x->query + (size_t)row * x->query_stride;
  float *out = x->out + (size_t)row * x->out_stride;
  float top = -INFINITY, sum = 0;
  const int length = x->causal ? row + 1 : x->length;
  for (int j = 0; j < length; j++) {
    const float *key = x->key + (size_t)j * x->key_stride;
    float s = 0;
    for (int d = 0; d < x->head_dim; d++) s = fmaf(query[d], key[d], s);
    scores[j] = s * x->scale;
    top = scores[j] > top ? scores[j] : top;
  }
  for (int j = 0; j < length; j++) sum += scores[j] = rk_expf(scores[j] - top);
  for (int d = 0; d < x->head_dim; d++) out[d] = 0;
  for (int j = 0; j < length; j++) {
    const float *value = x->value + (size_t)j * x->value_stride;
    for (int d = 0; d < x->head_dim; d++) out[d] = fmaf(scores[j], value[d], out[d]);
  }
  for (int d = 0; d < x->head_dim; d++) out[d] /= sum;
  if (x->log_sum_exp) x->log_sum_exp[(size_t)row * x->log_sum_exp_stride] = top + logf(sum);
}

size_t rk_encoder_attention_scratch(int length, int head_dim) {
  size_t tokens = ((size_t)length + 15) / 16 * 16, padded = ((size_t)head_dim + 15) / 16 * 16;
  return 4 * (2 * tokens * padded + ROWS * (padded + tokens)) + 64;
}

void rk_encoder_attention(const rk_encoder_head *x, int narrow, void *scratch) {
  packed_head h = {.length = x->length, .groups = (x->length + 15) / 16, .dim = x->head_dim, .scale = x->scale};
  h.padded = (h.dim + 15) / 16 * 16;
  uint32_t *memory = scratch;
  size_t room = (size_t)h.groups * 16 * (size_t)h.padded;
  h.keys = memory;
  h.values = memory + room;
  h.query = memory + 2 * room;
  h.scores = (float *)(void *)(h.query + ROWS * h.padded);
#if RK_X86
  if (rk_has_avx512_vnni()) {
    if (narrow && rk_has_avx512_bf16()) paired_head(x, &h);
    else plain_head(x, &h);
    return;
  }
  if (rk_has_avx2()) {
    rk_encoder_head_avx2(x, &h);
    return;
  }
#endif
  (void)narrow;
  for (int row = 0; row < x->length; row++) portable_row(x, row, h.scores);
}
