// Attention's chunks with AVX-512. Keys lie transposed, 16 tokens to a vector, which spares every horizontal sum;
// in bfloat16 two numbers of a token (keys) or two tokens (values) share a word, as the instruction wants them.
#include "attention_rows.h"
#include "wide_math.h"

#if RK_X86
RK_AVX512 static inline __attribute__((always_inline)) __m512 load16(const uint8_t *p, int half) {
  return half ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)) : _mm512_loadu_ps((const float *)p);
}

RK_AVX512 static inline __attribute__((always_inline)) __m512 load_tail(const uint8_t *p, int half,
                                                                        __mmask16 mask) {
  return half ? _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p)) : _mm512_maskz_loadu_ps(mask, p);
}

#define RK_FN(name) plain_##name
#define RK_TARGET RK_AVX512
#define RK_PAIRED 0
#include "attention_tile.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_PAIRED

#define RK_FN(name) paired_##name
#define RK_TARGET RK_AVX512_BF16
#define RK_PAIRED 1
#include "attention_tile.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_PAIRED

#include "attention_int8.h"

#define INSTANCE(TARGET, KIND, NAME, R, HALF)                                                              \
  TARGET static void NAME##_##R(const rk_kv_view *v, int kv_head, row_tile *t, int row, int from, int to) { \
    KIND##_chunks(v, kv_head, t, row, R, from, to, HALF);                                                  \
  }
#define INSTANCES(TARGET, KIND, NAME, HALF)                                               \
  INSTANCE(TARGET, KIND, NAME, 1, HALF) INSTANCE(TARGET, KIND, NAME, 2, HALF)             \
  INSTANCE(TARGET, KIND, NAME, 3, HALF) INSTANCE(TARGET, KIND, NAME, 4, HALF)             \
  INSTANCE(TARGET, KIND, NAME, 5, HALF) INSTANCE(TARGET, KIND, NAME, 6, HALF)
INSTANCES(RK_AVX512, plain, single, 0)
INSTANCES(RK_AVX512, plain, half, 1)
INSTANCES(RK_AVX512_BF16, paired, brain, 1)
INSTANCES(RK_AVX512, codes, codes, 0)

#define ROW(NAME) {NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6}
static const chunk_function functions[4][ROWS] = {
    [RK_KV_F32] = ROW(single), [RK_KV_F16] = ROW(half), [RK_KV_BF16] = ROW(brain), [RK_KV_INT8] = ROW(codes)};
#endif

chunk_function rk_attention_chunks(rk_kv_type type, int rows) {
#if RK_X86
  if (type == RK_KV_BF16 ? rk_has_avx512_bf16() : rk_has_avx512_vnni()) return functions[type][rows - 1];
#endif
  (void)type, (void)rows;
  return NULL;
}
