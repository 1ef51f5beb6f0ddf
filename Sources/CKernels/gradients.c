// Gradients of row operations: the body compiled for AVX-512, AVX2 and the baseline, chosen at run time.
#include "internal.h"

// Elements that AdamW looks at together.
enum { ADAMW_GROUP = 128 };

static inline uint32_t as_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

// The C library's may set errno, and keeps a loop from being vectors.
static inline float plain_sqrt(float x) { return __builtin_elementwise_sqrt(x); }

#include "dropout.h"

#define RK_FN(name) portable_##name
#define RK_TARGET
#include "lanes_body.h"
#include "gradients_body.h"
#undef RK_FN
#undef RK_TARGET

#if RK_X86
#define RK_FN(name) wide_##name
#define RK_TARGET RK_AVX512 __attribute__((min_vector_width(512)))
#include "lanes_body.h"
#include "gradients_body.h"
#undef RK_FN
#undef RK_TARGET

#define RK_FN(name) avx2_##name
#define RK_TARGET RK_AVX2
#include "lanes_body.h"
#include "gradients_body.h"
#endif

void rk_rms_norm_gradient(const float *g, const float *x, const float *w, float *dx, float *weight_sum, int n,
                          float eps) {
  RK_CHOOSE(rms_norm_gradient)(g, x, w, dx, weight_sum, n, eps);
}

void rk_layer_norm_gradient(const float *g, const float *x, const float *w, float *dx, float *weight_sum,
                            float *bias_sum, int n, float eps) {
  RK_CHOOSE(layer_norm_gradient)(g, x, w, dx, weight_sum, bias_sum, n, eps);
}

void rk_gelu_erf_gradient(const float *g, const float *x, float *dx, int n) {
  RK_CHOOSE(gelu_erf_gradient)(g, x, dx, n);
}

void rk_gelu_tanh_gradient(const float *g, const float *x, float *dx, int n) {
  RK_CHOOSE(gelu_tanh_gradient)(g, x, dx, n);
}

void rk_silu_mul_gradient(const float *g, const float *gate, const float *up, float *gate_out, float *up_out,
                          int n) {
  RK_CHOOSE(silu_mul_gradient)(g, gate, up, gate_out, up_out, n);
}

void rk_tanh_gradient(const float *g, const float *y, float *dx, int n) { RK_CHOOSE(tanh_gradient)(g, y, dx, n); }

void rk_softmax_gradient(const float *g, const float *y, float *dx, int n) {
  RK_CHOOSE(softmax_gradient)(g, y, dx, n);
}

void rk_l2_normalize_gradient(const float *g, const float *x, float *dx, int n, float epsilon) {
  RK_CHOOSE(l2_normalize_gradient)(g, x, dx, n, epsilon);
}

float rk_dot(const float *a, const float *b, int n) { return RK_CHOOSE(dot)(a, b, n); }

void rk_add_scaled(const float *x, float factor, float *sum, int n) { RK_CHOOSE(add_scaled)(x, factor, sum, n); }

void rk_scale(const float *x, float factor, float *y, int n) { RK_CHOOSE(scale)(x, factor, y, n); }

double rk_sum_of_squares(const float *x, size_t n) { return RK_CHOOSE(sum_of_squares)(x, n); }

void rk_dropout(const float *x, float *y, int n, const rk_dropout_draws *draws) { RK_CHOOSE(dropout)(x, y, n, draws); }

void rk_dropout_add_norm(const float *x, const float *residual, const float *w, const float *b, float *sum, float *y,
                         int n, float eps, const rk_dropout_draws *draws) {
  RK_CHOOSE(dropout_add_norm)(x, residual, w, b, sum, y, n, eps, draws);
}

void rk_dropout_add_norm_gradient(const float *g, const float *sum, const float *w, float *dsum, float *dx,
                                  float *weight_sum, float *bias_sum, float *x_sum, int n, float eps,
                                  const rk_dropout_draws *draws) {
  RK_CHOOSE(dropout_add_norm_gradient)(g, sum, w, dsum, dx, weight_sum, bias_sum, x_sum, n, eps, draws);
}

void rk_adamw(float *p, float *g, float *m, float *v, size_t n, rk_adamw_step step) {
  RK_CHOOSE(adamw)(p, g, m, v, n, step);
}

void rk_first_row_gradient(const rk_encoder_gradient *work, float *scratch) {
  RK_CHOOSE(first_row_gradient)(work, scratch);
}

// Few classes, and losses that are compared: Double throughout.
float rk_softmax_divergence(const float *z, const float *target, float weight, float temperature, float *gradient,
                            int n) {
  double max = -INFINITY, sum = 0, mass = 0, loss = 0;
  for (int i = 0; i < n; i++) max = z[i] > max ? z[i] : max;
  for (int i = 0; i < n; i++) sum += exp((z[i] - max) / temperature);
  double log_sum = log(sum);
  for (int i = 0; i < n; i++) {
    double t = target[i], log_p = (z[i] - max) / temperature - log_sum;
    mass += t;
    if (t > 0) loss += t * (log(t) - log_p);
  }
  double scale = (double)weight * temperature;
  for (int i = 0; i < n; i++) {
    double p = exp((z[i] - max) / temperature - log_sum);
    gradient[i] = (float)(scale * (mass * p - target[i]));
  }
  return (float)(scale * temperature * loss);
}

float rk_sigmoid_cross_entropy(const float *z, const float *target, const float *weight, float *gradient, int n) {
  double loss = 0;
  for (int i = 0; i < n; i++) {
    double v = z[i], size = fabs(v), small = exp(-size);
    double p = v >= 0 ? 1 / (1 + small) : small / (1 + small);
    loss += weight[i] * ((v > 0 ? v : 0) - v * target[i] + log1p(small));
    gradient[i] = (float)(weight[i] * (p - target[i]));
  }
  return (float)loss;
}
