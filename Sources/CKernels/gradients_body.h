// Gradients of row operations, included once for each instruction set like rows_body.h, whose sums it shares.

// dx of y = x·s·w with s = 1/√(mean(x²) + ε); adds dy·x·s to `weight_sum`.
RK_TARGET static void RK_FN(rms_norm_gradient)(const float *g, const float *x, const float *w, float *dx,
                                               float *weight_sum, int n, float eps) {
  float squares[16] = {0}, dots[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) {
      squares[j] += x[i + j] * x[i + j];
      dots[j] += g[i + j] * w[i + j] * x[i + j];
    }
  for (; i < n; i++) {
    squares[i & 15] += x[i] * x[i];
    dots[i & 15] += g[i] * w[i] * x[i];
  }
  float scale = 1.0f / sqrtf(RK_FN(lane_sum)(squares) / (float)n + eps);
  float along = RK_FN(lane_sum)(dots) / (float)n * scale * scale;
  for (i = 0; i < n; i++) {
    weight_sum[i] += g[i] * (x[i] * scale);
    dx[i] = (g[i] * w[i] - x[i] * along) * scale;
  }
}

// dx of y = h·w + b with h = (x − mean)·s; adds dy·h to `weight_sum` and dy to `bias_sum`.
RK_TARGET static void RK_FN(layer_norm_gradient)(const float *g, const float *x, const float *w, float *dx,
                                                 float *weight_sum, float *bias_sum, int n, float eps) {
  float lanes[16] = {0}, squares[16] = {0}, sums[16] = {0}, dots[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) {
      lanes[j] += x[i + j];
      sums[j] += g[i + j] * w[i + j];
    }
  for (; i < n; i++) {
    lanes[i & 15] += x[i];
    sums[i & 15] += g[i] * w[i];
  }
  float mean = RK_FN(lane_sum)(lanes) / (float)n, along_one = RK_FN(lane_sum)(sums) / (float)n;
  for (i = 0; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) {
      float d = x[i + j] - mean;
      squares[j] += d * d;
      dots[j] += g[i + j] * w[i + j] * d;
    }
  for (; i < n; i++) {
    float d = x[i] - mean;
    squares[i & 15] += d * d;
    dots[i & 15] += g[i] * w[i] * d;
  }
  float scale = 1.0f / sqrtf(RK_FN(lane_sum)(squares) / (float)n + eps);
  float along = RK_FN(lane_sum)(dots) / (float)n * scale;
  for (i = 0; i < n; i++) {
    float h = (x[i] - mean) * scale;
    weight_sum[i] += g[i] * h;
    bias_sum[i] += g[i];
    dx[i] = scale * (g[i] * w[i] - along_one - h * along);
  }
}

// Φ(x) + x φ(x)
RK_TARGET static void RK_FN(gelu_erf_gradient)(const float *g, const float *x, float *dx, int n) {
  for (int i = 0; i < n; i++) {
    float v = x[i], size = fabsf(v), t = 1.0f / (1.0f + 0.3f * 0.70710678118654752f * size);
    float bounded = size < 14.0f ? size : 14.0f, bell = rk_expf(-0.5f * bounded * bounded);
    float tail = 0.5f * t * rk_erfc_polynomial(t) * bell;
    dx[i] = g[i] * ((v < 0 ? tail : 1.0f - tail) + bounded * (v < 0 ? -bell : bell) * 0.3989422804014327f);
  }
}

RK_TARGET static void RK_FN(gelu_tanh_gradient)(const float *g, const float *x, float *dx, int n) {
  for (int i = 0; i < n; i++) {
    // At ±10 the limits are reached; e / (1 + e)² keeps the digits that 1 − s loses where s is near 1.
    float v = x[i] < -10.0f ? -10.0f : (x[i] > 10.0f ? 10.0f : x[i]);
    float e = rk_expf(-1.5957691216057308f * (v + 0.044715f * v * v * v)), s = 1.0f / (1.0f + e);
    float slope = 0.7978845608028654f * (1.0f + 0.134145f * v * v);
    dx[i] = g[i] * (s + 2.0f * v * (e * s) * (s * slope));
  }
}

RK_TARGET static void RK_FN(silu_mul_gradient)(const float *g, const float *gate, const float *up,
                                               float *gate_out, float *up_out, int n) {
  for (int i = 0; i < n; i++) {
    float s = 1.0f / (1.0f + rk_expf(-gate[i]));
    gate_out[i] = g[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
    up_out[i] = g[i] * gate[i] * s;
  }
}

RK_TARGET static void RK_FN(tanh_gradient)(const float *g, const float *y, float *dx, int n) {
  for (int i = 0; i < n; i++) dx[i] = g[i] * (1.0f - y[i] * y[i]);
}

RK_TARGET static float RK_FN(dot)(const float *a, const float *b, int n) {
  float lanes[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) lanes[j] += a[i + j] * b[i + j];
  for (; i < n; i++) lanes[i & 15] += a[i] * b[i];
  return RK_FN(lane_sum)(lanes);
}

RK_TARGET static void RK_FN(softmax_gradient)(const float *g, const float *y, float *dx, int n) {
  float along = RK_FN(dot)(g, y, n);
  for (int i = 0; i < n; i++) dx[i] = y[i] * (g[i] - along);
}

RK_TARGET static void RK_FN(l2_normalize_gradient)(const float *g, const float *x, float *dx, int n,
                                                   float epsilon) {
  float norm = sqrtf(RK_FN(dot)(x, x, n));
  if (norm <= epsilon) {
    for (int i = 0; i < n; i++) dx[i] = g[i] / epsilon;
    return;
  }
  // Factor by factor, so that a short row does not overflow.
  float scale = 1.0f / norm, along = RK_FN(dot)(g, x, n) * scale * scale;
  for (int i = 0; i < n; i++) dx[i] = (g[i] - x[i] * along) * scale;
}

RK_TARGET static void RK_FN(add_scaled)(const float *x, float factor, float *sum, int n) {
  for (int i = 0; i < n; i++) sum[i] += x[i] * factor;
}

RK_TARGET static void RK_FN(scale)(const float *x, float factor, float *y, int n) {
  for (int i = 0; i < n; i++) y[i] = x[i] * factor;
}

RK_TARGET static void RK_FN(first_row_gradient)(const rk_encoder_gradient *x, float *scratch) {
  int n = x->length, d = x->head_dim;
  float *weights = scratch, *slopes = scratch + n, max = -INFINITY, sum = 0, along = 0;
  for (int r = 0; r < n; r++) {
    weights[r] = RK_FN(dot)(x->query, x->key + (size_t)r * x->key_stride, d) * x->scale;
    slopes[r] = RK_FN(dot)(x->gradient, x->value + (size_t)r * x->value_stride, d);
    max = weights[r] > max ? weights[r] : max;
  }
  for (int r = 0; r < n; r++) {
    weights[r] = rk_expf(weights[r] - max);
    sum += weights[r];
  }
  for (int r = 0; r < n; r++) {
    weights[r] /= sum;
    along += weights[r] * slopes[r];
  }
  for (int i = 0; i < d; i++) x->query_gradient[i] = 0;
  for (int r = 0; r < n; r++) {
    float slope = weights[r] * (slopes[r] - along) * x->scale;
    RK_FN(add_scaled)(x->key + (size_t)r * x->key_stride, slope, x->query_gradient, d);
    RK_FN(scale)(x->query, slope, x->key_gradient + (size_t)r * x->result_stride, d);
    RK_FN(scale)(x->gradient, weights[r], x->value_gradient + (size_t)r * x->result_stride, d);
  }
}

RK_TARGET static double RK_FN(sum_of_squares)(const float *x, size_t n) {
  double total = 0;
  for (size_t start = 0; start < n; start += 4096) {
    size_t end = start + 4096 < n ? start + 4096 : n, i = start;
    float lanes[16] = {0};
    for (; i + 16 <= end; i += 16)
      for (int j = 0; j < 16; j++) lanes[j] += x[i + j] * x[i + j];
    for (; i < end; i++) lanes[0] += x[i] * x[i];
    total += RK_FN(lane_sum)(lanes);
  }
  return total;
}

RK_TARGET static void RK_FN(factors)(const rk_dropout_draws *d, uint64_t first, float *factors) {
  if (d->threshold) return RK_FN(dropout_factors)(d, first, factors);
  for (int i = 0; i < DROPOUT_GROUP; i++) factors[i] = d->scale;
}

RK_TARGET static void RK_FN(dropout)(const float *x, float *y, int n, const rk_dropout_draws *d) {
  _Alignas(64) float factors[DROPOUT_GROUP];
  for (int i = 0; i < n; i += DROPOUT_GROUP) {
    int count = n - i < DROPOUT_GROUP ? n - i : DROPOUT_GROUP;
    RK_FN(factors)(d, d->first + (uint64_t)i, factors);
    for (int j = 0; j < count; j++) y[i + j] = factors[j] > 0 ? x[i + j] * factors[j] : 0.0f;
  }
}

// sum = residual + dropout(x); y its layer norm.
RK_TARGET static void RK_FN(dropout_add_norm)(const float *x, const float *residual, const float *w, const float *b,
                                              float *sum, float *y, int n, float eps, const rk_dropout_draws *d) {
  _Alignas(64) float factors[DROPOUT_GROUP];
  for (int i = 0; i < n; i += DROPOUT_GROUP) {
    int count = n - i < DROPOUT_GROUP ? n - i : DROPOUT_GROUP;
    RK_FN(factors)(d, d->first + (uint64_t)i, factors);
    for (int j = 0; j < count; j++)
      sum[i + j] = residual[i + j] + (factors[j] > 0 ? x[i + j] * factors[j] : 0.0f);
  }
  rk_layer_norm(sum, w, b, y, n, eps);
}

// The gradients of dropout_add_norm's residual (`dsum`) and x (`dx`), which is also added to `x_sum`.
RK_TARGET static void RK_FN(dropout_add_norm_gradient)(const float *g, const float *sum, const float *w, float *dsum,
                                                       float *dx, float *weight_sum, float *bias_sum, float *x_sum,
                                                       int n, float eps, const rk_dropout_draws *d) {
  _Alignas(64) float factors[DROPOUT_GROUP];
  RK_FN(layer_norm_gradient)(g, sum, w, dsum, weight_sum, bias_sum, n, eps);
  for (int i = 0; i < n; i += DROPOUT_GROUP) {
    int count = n - i < DROPOUT_GROUP ? n - i : DROPOUT_GROUP;
    RK_FN(factors)(d, d->first + (uint64_t)i, factors);
    for (int j = 0; j < count; j++) {
      float kept = factors[j] > 0 ? dsum[i + j] * factors[j] : 0.0f;
      dx[i + j] = kept;
      x_sum[i + j] += kept;
    }
  }
}

RK_TARGET static void RK_FN(adamw)(float *p, float *g, float *m, float *v, size_t n, rk_adamw_step s) {
  float keep = 1.0f - s.learning_rate * s.weight_decay, rate = s.learning_rate / s.first_correction;
  float root = 1.0f / sqrtf(s.second_correction), grow = 1.0f - s.beta1, spread = 1.0f - s.beta2;
  for (size_t start = 0; start < n; start += ADAMW_GROUP) {
    size_t end = start + ADAMW_GROUP < n ? start + ADAMW_GROUP : n;
    uint32_t bits = 0;
    for (size_t i = start; i < end; i++) bits |= as_bits(g[i]);
    if (bits << 1 == 0) {
      // A row of a table that no text had yet only decays: the same numbers, with two reads and three writes less.
      for (size_t i = start; i < end; i++) bits |= as_bits(m[i]) | as_bits(v[i]);
      if (bits << 1 == 0) {
        if (keep != 1.0f)
          for (size_t i = start; i < end; i++) p[i] *= keep;
        continue;
      }
    }
    for (size_t i = start; i < end; i++) {
      float gradient = g[i] * s.gradient_scale;
      m[i] += (gradient - m[i]) * grow;
      v[i] = v[i] * s.beta2 + gradient * gradient * spread;
      p[i] = p[i] * keep - rate * m[i] / (plain_sqrt(v[i]) * root + s.epsilon);
      if (s.clear) g[i] = 0;
    }
  }
}
