// Per row Σ w (−t ln σ(z) − (1 − t) ln(1 − σ(z))), and its gradient w (σ(z) − t).
//
//   logits, targets, weights  [rows, classes] float, rows *_stride elements apart, from element *_offset
//   losses                    [rows] float; gradient: [rows, classes] float, packed
// Launch: an item a row.

kernel void sigmoid_cross_entropy(global const float *logits, uint logits_offset, uint logits_stride,
                                  global const float *targets, uint targets_offset, uint targets_stride,
                                  global const float *weights, uint weights_offset, uint weights_stride,
                                  global float *losses, global float *gradient, uint classes, uint rows) {
  const size_t row = get_global_id(0);
  if (row >= rows) return;
  float loss = 0.0f;
  for (uint i = 0; i < classes; ++i) {
    const float z = logits[logits_offset + row * logits_stride + i];
    const float t = targets[targets_offset + row * targets_stride + i];
    const float w = weights[weights_offset + row * weights_stride + i];
    const float small = exp(-fabs(z));
    const float p = (z >= 0.0f ? 1.0f : small) / (1.0f + small);
    loss += w * (fmax(z, 0.0f) - z * t + log1p(small));
    gradient[row * classes + i] = w * (p - t);
  }
  losses[row] = loss;
}
