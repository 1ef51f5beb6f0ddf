// Row operations: the body compiled for AVX-512, AVX2 and the baseline, chosen at run time.
#include "internal.h"

#define RK_FN(name) portable_##name
#define RK_TARGET
#include "lanes_body.h"
#include "rows_body.h"
#undef RK_FN
#undef RK_TARGET

#if RK_X86
#define RK_FN(name) wide_##name
#define RK_TARGET RK_AVX512 __attribute__((min_vector_width(512)))
#include "lanes_body.h"
#include "rows_body.h"
#undef RK_FN
#undef RK_TARGET

#define RK_FN(name) avx2_##name
#define RK_TARGET RK_AVX2
#include "lanes_body.h"
#include "rows_body.h"
#endif

void rk_rms_norm(const float *x, const float *w, float *y, int n, float eps) { RK_CHOOSE(rms_norm)(x, w, y, n, eps); }

void rk_layer_norm(const float *x, const float *w, const float *b, float *y, int n, float eps) {
  RK_CHOOSE(layer_norm)(x, w, b, y, n, eps);
}

void rk_silu_mul(const float *gate, const float *up, float *y, int n) { RK_CHOOSE(silu_mul)(gate, up, y, n); }

void rk_gelu_erf(const float *x, float *y, int n) { RK_CHOOSE(gelu_erf)(x, y, n); }

void rk_l2_normalize(const float *x, float *y, int n, float epsilon) { RK_CHOOSE(l2_normalize)(x, y, n, epsilon); }

void rk_mean_rows(const float *x, size_t stride, int count, float *y, int n) {
  RK_CHOOSE(mean_rows)(x, stride, count, y, n);
}

void rk_gelu_tanh(const float *x, float *y, int n) { RK_CHOOSE(gelu_tanh)(x, y, n); }
void rk_add(const float *a, const float *b, float *y, int n) { RK_CHOOSE(add)(a, b, y, n); }
void rk_softmax(const float *x, float *y, int n) { RK_CHOOSE(softmax)(x, y, n); }

void rk_rope(const float *x, float *y, int heads, int head_dim, int rotary, const float *cosines,
             const float *sines, int neighbours) {
  RK_CHOOSE(rope)(x, y, heads, head_dim, rotary, cosines, sines, neighbours);
}

float rk_max(const float *x, int n) { return RK_CHOOSE(max)(x, n); }
double rk_sum_exp(const float *x, int n, float max, float scale) { return RK_CHOOSE(sum_exp)(x, n, max, scale); }

void rk_f32_to_bf16(const float *x, uint16_t *y, size_t count) { RK_CHOOSE(f32_to_bf16)(x, y, count); }

void rk_mask(const float *x, const uint32_t *words, float *y, int n) { RK_CHOOSE(mask)(x, words, y, n); }

int rk_collect_above(const float *x, int n, float threshold, int32_t *out, int capacity) {
  int found = 0;
  for (int i = 0; i < n; i++) {
    if (x[i] >= threshold) {
      if (found < capacity) out[found] = i;
      found++;
    }
  }
  return found;
}
