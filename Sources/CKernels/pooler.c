// What a classifier reads from an encoder: attention of one query a sequence, and tanh.
#include "internal.h"

#define RK_FN(name) portable_##name
#define RK_TARGET
#include "pooler_body.h"
#undef RK_FN
#undef RK_TARGET

#if RK_X86
#define RK_FN(name) wide_##name
#define RK_TARGET RK_AVX512 __attribute__((min_vector_width(512)))
#include "pooler_body.h"
#define CHOOSE(name) (rk_has_avx512_vnni() ? wide_##name : portable_##name)
#else
#define CHOOSE(name) portable_##name
#endif

void rk_tanh(const float *x, float *y, int n) { CHOOSE(tanh)(x, y, n); }

void rk_first_row_attention(const rk_encoder_head *head, float *scores) { CHOOSE(first_row)(head, scores); }
