// Attention's chunks with AVX-512. Keys lie transposed, 16 tokens to a vector, which spares every horizontal sum;
// in bfloat16 two numbers of a token (keys) or two tokens (values) share a word, as the instruction wants them.
#include "attention_rows.h"

#if RK_X86
RK_AVX512 static inline __attribute__((always_inline)) __m512 load16(const uint8_t *p, int half) {
  return half ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)) : _mm512_loadu_ps((const float *)p);
}

RK_AVX512 static inline __attribute__((always_inline)) __m512 load_tail(const uint8_t *p, int half,
                                                                        __mmask16 mask) {
  return half ? _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p)) : _mm512_maskz_loadu_ps(mask, p);
}

RK_AVX512 static inline __attribute__((always_inline)) __m512 exp16(__m512 x) {
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
