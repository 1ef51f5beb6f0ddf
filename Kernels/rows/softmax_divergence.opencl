// Per row w T² Σ t (ln t − ln p) with p = softmax(logits / T), and its gradient w T (p Σ t − t).
//
//   logits, targets  [rows, classes] float, rows *_stride elements apart, from element *_offset
//   weights          [rows] float from element weights_offset
//   losses           [rows] float; gradient: [rows, classes] float, packed
// Launch: an item a row.

kernel void softmax_divergence(global const float *logits, uint logits_offset, uint logits_stride,
                               global const float *targets, uint targets_offset, uint targets_stride,
                               global const float *weights, uint weights_offset, float temperature,
                               global float *losses, global float *gradient, uint classes, uint rows) {
  const size_t row = get_global_id(0);
  if (row >= rows) return;
  global const float *z = logits + logits_offset + row * logits_stride;
  global const float *target = targets + targets_offset + row * targets_stride;
  float highest = -INFINITY, sum = 0.0f, mass = 0.0f, loss = 0.0f;
  for (uint i = 0; i < classes; ++i) highest = fmax(highest, z[i]);
  for (uint i = 0; i < classes; ++i) {
    sum += exp((z[i] - highest) / temperature);
    mass += target[i];
  }
  const float log_sum = log(sum), scale = weights[weights_offset + row] * temperature;
  for (uint i = 0; i < classes; ++i) {
    const float t = target[i], log_p = (z[i] - highest) / temperature - log_sum;
    if (t > 0.0f) loss += t * (log(t) - log_p);
    gradient[row * classes + i] = scale * (mass * exp(log_p) - t);
  }
  losses[row] = scale * temperature * loss;
}
