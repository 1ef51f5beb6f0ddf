// Rows of encoders: what follows a product inside a layer, attention of one query a sequence, and tanh.
#include "internal.h"

#define RK_FN(name) portable_##name
#define RK_TARGET
#include "lanes_body.h"
#include "encoder_rows_body.h"
#undef RK_FN
#undef RK_TARGET

#if RK_X86
#define RK_FN(name) wide_##name
#define RK_TARGET RK_AVX512 __attribute__((min_vector_width(512)))
#include "lanes_body.h"
#include "encoder_rows_body.h"
#undef RK_FN
#undef RK_TARGET

#define RK_FN(name) avx2_##name
#define RK_TARGET RK_AVX2
#include "lanes_body.h"
#include "encoder_rows_body.h"
#endif

void rk_tanh(const float *x, float *y, int n) { RK_CHOOSE(tanh)(x, y, n); }

void rk_first_row_attention(const rk_encoder_head *head, float *scores) { RK_CHOOSE(first_row)(head, scores); }

void rk_gelu_quick(float *x, int n) { RK_CHOOSE(gelu_quick)(x, n); }

void rk_add_layer_norm(const float *a, const float *b, const float *w, const float *bias, float *y, int n,
                       float eps) {
  RK_CHOOSE(add_layer_norm)(a, b, w, bias, y, n, eps);
}
