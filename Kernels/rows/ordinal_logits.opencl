// Log-probabilities of ordered classes from one number, P(y > k) = sigmoid(alpha · (x − theta[k])), and gradients.
//
//   x           [rows] float, x_stride elements apart, from element x_offset
//   parameters  [classes] float from element parameters_offset: ln alpha, theta[0], ln(theta[1] − theta[0]), …
//   y           [rows, classes] float, packed: ln P(y = k)
//   g           [rows, classes] float, rows g_stride elements apart, from element g_offset: the gradient of y
//   dx          [rows] float: the gradient of x
//   partial     [rows, classes] float, packed: each row's share of the parameters' gradient
// ln(s(a) − s(b)) = ln s(a) + ln s(−b) + ln(1 − e^(b − a)) keeps the digits of small probabilities.
// Launch: an item a row.

float log_sigmoid(float z) { return fmin(z, 0.0f) - log1p(exp(-fabs(z))); }

kernel void ordinal_logits(global const float *x, uint x_offset, uint x_stride, global const float *parameters,
                           uint parameters_offset, global float *y, uint classes, uint rows) {
  const size_t row = get_global_id(0);
  if (row >= rows) return;
  global const float *p = parameters + parameters_offset;
  global float *output = y + row * classes;
  const float input = x[x_offset + row * x_stride], slope = exp(p[0]);
  float threshold = p[1], below = 0.0f;
  for (uint k = 0; k < classes; ++k) {
    float value = below;
    if (k > 0 && k + 1 < classes) {
      const float gap = exp(p[k + 1]);
      threshold += gap;
      value += log(-expm1(-slope * gap));
    }
    if (k + 1 < classes) {
      const float z = slope * (input - threshold);
      value += log_sigmoid(-z);
      below = log_sigmoid(z);
    }
    output[k] = value;
  }
}

kernel void ordinal_logits_gradient(global const float *g, uint g_offset, uint g_stride, global const float *x,
                                    uint x_offset, uint x_stride, global const float *parameters,
                                    uint parameters_offset, global float *dx, global float *partial,
                                    uint classes, uint rows) {
  const size_t row = get_global_id(0);
  if (row >= rows) return;
  global const float *p = parameters + parameters_offset;
  global const float *upstream = g + g_offset + row * g_stride;
  global float *own = partial + row * classes;
  const float input = x[x_offset + row * x_stride], slope = exp(p[0]);
  float threshold = p[1], along = 0.0f, steepness = 0.0f;
  for (uint border = 0; border + 1 < classes; ++border) {
    if (border > 0) threshold += exp(p[border + 1]);
    const float z = slope * (input - threshold);
    const float d = upstream[border + 1] / (1.0f + exp(z)) - upstream[border] / (1.0f + exp(-z));
    along += d;
    steepness += d * z;
    // The threshold's own gradient, until the thresholds above hand theirs down.
    own[border + 1] = -d * slope;
  }
  float above = 0.0f;
  for (uint border = classes - 2; border > 0; --border) {
    const float gap = exp(p[border + 1]), m = slope * gap;
    const float apart = upstream[border] * (m > 0.0f ? m / expm1(m) : 1.0f);
    above += own[border + 1];
    own[border + 1] = above * gap + apart;
    steepness += apart;
  }
  own[1] += above;
  own[0] = steepness;
  dx[row] = along * slope;
}
