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
#define CHOOSE(name) (rk_has_avx512_vnni() ? wide_##name : portable_##name)
#else
#define CHOOSE(name) portable_##name
#endif

void rk_tanh(const float *x, float *y, int n) { CHOOSE(tanh)(x, y, n); }

void rk_first_row_attention(const rk_encoder_head *head, float *scores) { CHOOSE(first_row)(head, scores); }

void rk_gelu_quick(float *x, int n) { CHOOSE(gelu_quick)(x, n); }

void rk_add_layer_norm(const float *a, const float *b, const float *w, const float *bias, float *y, int n,
                       float eps) {
  CHOOSE(add_layer_norm)(a, b, w, bias, y, n, eps);
}
