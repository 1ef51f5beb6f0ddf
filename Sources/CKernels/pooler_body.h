// Included once for each instruction set by pooler.c, which defines RK_FN(name) and RK_TARGET.

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
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; j++) lanes[j] += lanes[j + width];
  return lanes[0];
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
