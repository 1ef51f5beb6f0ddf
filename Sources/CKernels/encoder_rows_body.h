// Included once for each instruction set by encoder_rows.c after lanes_body.h; it defines RK_FN(name) and RK_TARGET.

// Near 0 by Cephes' odd polynomial, since 1 − exp(−2x) would cancel there.
RK_TARGET static void RK_FN(tanh)(const float *x, float *y, int n) {
  for (int i = 0; i < n; i++) {
    float v = x[i], size = fabsf(v), square = v * v;
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    float tail = rk_expf(-2.0f * size), far = (1.0f - tail) / (1.0f + tail);
    y[i] = size < 0.625f ? v + v * square * p : (v < 0 ? -far : far);
  }
}

RK_TARGET static float RK_FN(dot)(const float *a, const float *b, int n) {
  float lanes[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) lanes[j] += a[i + j] * b[i + j];
  for (; i < n; i++) lanes[i & 15] += a[i] * b[i];
  return RK_FN(lane_sum)(lanes);
}

RK_TARGET static void RK_FN(first_row)(const rk_encoder_head *x, float *scores) {
  float top = -INFINITY, sum = 0;
  for (int j = 0; j < x->length; j++) {
    scores[j] = x->scale * RK_FN(dot)(x->query, x->key + (size_t)j * x->key_stride, x->head_dim);
    top = scores[j] > top ? scores[j] : top;
  }
  for (int j = 0; j < x->length; j++) scores[j] = rk_expf(scores[j] - top);
  for (int j = 0; j < x->length; j++) sum += scores[j];
  for (int d = 0; d < x->head_dim; d++) x->out[d] = 0;
  for (int j = 0; j < x->length; j++) {
    const float *value = x->value + (size_t)j * x->value_stride;
    float weight = scores[j];
    for (int d = 0; d < x->head_dim; d++) x->out[d] += weight * value[d];
  }
  for (int d = 0; d < x->head_dim; d++) x->out[d] /= sum;
}

// x Φ(x) in place, with Φ(x) = 1/2 + x P(x²) for |x| < 4 (a fit that holds x Φ(x) to 2e-4) and 0 or 1 beyond.
RK_TARGET static void RK_FN(gelu_quick)(float *x, int n) {
  for (int i = 0; i < n; i++) {
    float v = x[i], c = v < -4.0f ? -4.0f : (v > 4.0f ? 4.0f : v), square = c * c;
    float p = 2.2588063284381783e-08f;
    p = p * square - 1.588819080673481e-06f;
    p = p * square + 4.776371208527599e-05f;
    p = p * square - 8.121856138516778e-04f;
    p = p * square + 8.763680985465247e-03f;
    p = p * square - 6.45543874594871e-02f;
    p = p * square + 3.978702457810491e-01f;
    x[i] = v * (0.5f + c * p);
  }
}

// The layer norm of a + b; y overlaps none of them.
RK_TARGET static void RK_FN(add_layer_norm)(const float *restrict a, const float *restrict b,
                                            const float *restrict w, const float *restrict bias,
                                            float *restrict y, int n, float eps) {
  float lanes[16] = {0}, squares[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) {
      y[i + j] = a[i + j] + b[i + j];
      lanes[j] += y[i + j];
    }
  for (; i < n; i++) lanes[i & 15] += y[i] = a[i] + b[i];
  float mean = RK_FN(lane_sum)(lanes) / (float)n;
  for (i = 0; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) squares[j] += (y[i + j] - mean) * (y[i + j] - mean);
  for (; i < n; i++) squares[i & 15] += (y[i] - mean) * (y[i] - mean);
  float scale = 1.0f / sqrtf(RK_FN(lane_sum)(squares) / (float)n + eps);
  for (i = 0; i < n; i++) y[i] = (y[i] - mean) * scale * w[i] + bias[i];
}
