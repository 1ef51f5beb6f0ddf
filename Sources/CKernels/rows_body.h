// Row operations, included once for each instruction set after lanes_body.h. The file that includes it defines
// RK_FN(name) and RK_TARGET. Sums run in 16 lanes in a fixed order, so that a row's result depends on the row alone.

RK_TARGET static void RK_FN(rms_norm)(const float *x, const float *w, float *y, int n, float eps) {
  float lanes[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) lanes[j] += x[i + j] * x[i + j];
  for (; i < n; i++) lanes[i & 15] += x[i] * x[i];
  float scale = 1.0f / sqrtf(RK_FN(lane_sum)(lanes) / (float)n + eps);
  for (i = 0; i < n; i++) y[i] = x[i] * scale * w[i];
}

RK_TARGET static void RK_FN(layer_norm)(const float *x, const float *w, const float *b, float *y, int n,
                                        float eps) {
  float lanes[16] = {0}, squares[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) lanes[j] += x[i + j];
  for (; i < n; i++) lanes[i & 15] += x[i];
  float mean = RK_FN(lane_sum)(lanes) / (float)n;
  for (i = 0; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) {
      float d = x[i + j] - mean;
      squares[j] += d * d;
    }
  for (; i < n; i++) squares[i & 15] += (x[i] - mean) * (x[i] - mean);
  float scale = 1.0f / sqrtf(RK_FN(lane_sum)(squares) / (float)n + eps);
  for (i = 0; i < n; i++) y[i] = (x[i] - mean) * scale * w[i] + b[i];
}

RK_TARGET static void RK_FN(silu_mul)(const float *gate, const float *up, float *y, int n) {
  for (int i = 0; i < n; i++) y[i] = gate[i] / (1.0f + rk_expf(-gate[i])) * up[i];
}

RK_TARGET static void RK_FN(gelu_erf)(const float *x, float *y, int n) {
  for (int i = 0; i < n; i++) {
    float v = x[i], size = fabsf(v), t = 1.0f / (1.0f + 0.3f * 0.70710678118654752f * size);
    // Beyond 14 the tail is 0 in Float32, and the square must not overflow.
    float bounded = size < 14.0f ? size : 14.0f;
    float tail = 0.5f * t * rk_erfc_polynomial(t) * rk_expf(-0.5f * bounded * bounded);
    y[i] = v * (v < 0 ? tail : 1.0f - tail);
  }
}

RK_TARGET static void RK_FN(l2_normalize)(const float *x, float *y, int n, float epsilon) {
  float lanes[16] = {0};
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) lanes[j] += x[i + j] * x[i + j];
  for (; i < n; i++) lanes[i & 15] += x[i] * x[i];
  float norm = sqrtf(RK_FN(lane_sum)(lanes));
  float scale = 1.0f / (norm < epsilon ? epsilon : norm);
  for (i = 0; i < n; i++) y[i] = x[i] * scale;
}

RK_TARGET static void RK_FN(mean_rows)(const float *x, size_t stride, int count, float *y, int n) {
  float inverse = 1.0f / (float)count;
  memcpy(y, x, sizeof(float) * (size_t)n);
  for (int row = 1; row < count; row++) {
    const float *source = x + (size_t)row * stride;
    for (int i = 0; i < n; i++) y[i] += source[i];
  }
  for (int i = 0; i < n; i++) y[i] *= inverse;
}

RK_TARGET static void RK_FN(gelu_tanh)(const float *x, float *y, int n) {
  for (int i = 0; i < n; i++) {
    // x/2 (1 + tanh z) = x / (1 + exp(−2z))
    float z = 0.7978845608028654f * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
    y[i] = x[i] / (1.0f + rk_expf(-2.0f * z));
  }
}

RK_TARGET static void RK_FN(add)(const float *a, const float *b, float *y, int n) {
  for (int i = 0; i < n; i++) y[i] = a[i] + b[i];
}

RK_TARGET static float RK_FN(max)(const float *x, int n) {
  float lanes[16];
  for (int j = 0; j < 16; j++) lanes[j] = -INFINITY;
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  for (; i < n; i++) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  float m = lanes[0];
  for (int j = 1; j < 16; j++) m = lanes[j] > m ? lanes[j] : m;
  return m;
}

// Sums 4,096 at a time in Float32 lanes and the chunks in Double, so that a vocabulary of 150,000 loses nothing.
RK_TARGET static double RK_FN(sum_exp)(const float *x, int n, float max, float scale) {
  double total = 0;
  for (int start = 0; start < n; start += 4096) {
    int end = start + 4096 < n ? start + 4096 : n, i = start;
    float lanes[16] = {0};
    for (; i + 16 <= end; i += 16)
      for (int j = 0; j < 16; j++) lanes[j] += rk_expf((x[i + j] - max) * scale);
    for (; i < end; i++) lanes[0] += rk_expf((x[i] - max) * scale);
    total += RK_FN(lane_sum)(lanes);
  }
  return total;
}

RK_TARGET static void RK_FN(mask)(const float *x, const uint32_t *words, float *y, int n) {
  for (int start = 0; start < n; start += 32) {
    uint32_t word = words[start / 32];
    int end = start + 32 < n ? start + 32 : n;
    if (word == 0xFFFFFFFFu) {
      for (int i = start; i < end; i++) y[i] = x[i];
    } else {
      for (int i = start; i < end; i++) y[i] = word >> (i - start) & 1 ? x[i] : -INFINITY;
    }
  }
}

RK_TARGET static void RK_FN(softmax)(const float *x, float *y, int n) {
  float max = RK_FN(max)(x, n);
  float inverse = (float)(1.0 / RK_FN(sum_exp)(x, n, max, 1.0f));
  for (int i = 0; i < n; i++) y[i] = rk_expf(x[i] - max) * inverse;
}

RK_TARGET static void RK_FN(rope)(const float *x, float *y, int heads, int head_dim, int rotary,
                                  const float *cosines, const float *sines, int neighbours) {
  int half = rotary / 2;
  for (int h = 0; h < heads; h++, x += head_dim, y += head_dim) {
    if (neighbours) {
      for (int i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * cosines[i] - b * sines[i];
        y[2 * i + 1] = a * sines[i] + b * cosines[i];
      }
    } else {
      for (int i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        y[i] = a * cosines[i] - b * sines[i];
        y[i + half] = a * sines[i] + b * cosines[i];
      }
    }
    for (int i = rotary; i < head_dim; i++) y[i] = x[i];
  }
}

RK_TARGET static void RK_FN(f32_to_bf16)(const float *x, uint16_t *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = rk_float_to_bf16(x[i]);
}
