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

// Philox4x32-10 on 16 counters (first + lane, stream); word w of lane l lands in words[4 l + w].
RK_TARGET static void RK_FN(philox)(uint64_t key, uint64_t first, uint64_t stream, uint32_t *words) {
  uint32_t c0[16], c1[16], c2[16], c3[16];
  for (int l = 0; l < 16; l++) {
    c0[l] = (uint32_t)(first + (uint64_t)l);
    c1[l] = (uint32_t)((first + (uint64_t)l) >> 32);
    c2[l] = (uint32_t)stream;
    c3[l] = (uint32_t)(stream >> 32);
  }
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
    for (int l = 0; l < 16; l++) {
      uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
      uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
      c0[l] = n0;
      c1[l] = (uint32_t)p1;
      c2[l] = n2;
      c3[l] = (uint32_t)p0;
    }
  for (int l = 0; l < 16; l++) {
    words[4 * l] = c0[l];
    words[4 * l + 1] = c1[l];
    words[4 * l + 2] = c2[l];
    words[4 * l + 3] = c3[l];
  }
}

// Elements first..<first + n of a dropout, `first` a multiple of 64: element i keeps its value where word i % 4 of
// counter i / 4 is at least `threshold`.
RK_TARGET static void RK_FN(dropout)(const float *x, float *y, int n, uint64_t key, uint64_t stream,
                                     uint64_t first, uint32_t threshold, float scale) {
  uint32_t words[64];
  for (int i = 0; i < n; i += 64) {
    RK_FN(philox)(key, (first + (uint64_t)i) / 4, stream, words);
    int count = n - i < 64 ? n - i : 64;
    for (int j = 0; j < count; j++) y[i + j] = words[j] >= threshold ? x[i + j] * scale : 0.0f;
  }
}

RK_TARGET static void RK_FN(adamw)(float *p, const float *g, float *m, float *v, size_t n, rk_adamw_step s) {
  float keep = 1.0f - s.learning_rate * s.weight_decay, rate = s.learning_rate / s.first_correction;
  float root = 1.0f / sqrtf(s.second_correction);
  for (size_t i = 0; i < n; i++) {
    float gradient = g[i] * s.gradient_scale;
    m[i] += (gradient - m[i]) * (1.0f - s.beta1);
    v[i] = v[i] * s.beta2 + gradient * gradient * (1.0f - s.beta2);
    p[i] = p[i] * keep - rate * m[i] / (sqrtf(v[i]) * root + s.epsilon);
  }
}
