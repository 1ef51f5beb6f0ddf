// One step of AdamW on a packed tensor, in place, which may clear the gradient.
//
//   p, m, v  [count] float from elements *_offset: parameter, first and second moment
//   g        [count] float from element g_offset: the gradient, times gradient_scale
// keep: 1 − learning rate · weight decay. rate: learning rate / first correction. root: 1 / √second correction.
// clear: whether g becomes 0.
// Launch: ceil(count / SEGMENT) items. Tunable: VEC, SEGMENT (elements of one item, a multiple of VEC).
#ifndef SEGMENT
#define SEGMENT VEC
#endif

kernel void adamw(global float *p, uint p_offset, global float *g, uint g_offset, global float *m,
                  uint m_offset, global float *v, uint v_offset, float gradient_scale, float beta1, float beta2,
                  float keep, float rate, float root, float epsilon, int clear, uint count) {
  const uint first = get_global_id(0) * SEGMENT;
  if (first >= count) return;
  const uint last = count - first < SEGMENT ? count : first + SEGMENT;
  for (uint i = first; i < last; i += VEC) {
    const uint left = last - i;
    const real gradient = load_real(g + g_offset + i, left) * splat(gradient_scale);
    if (clear) store_real(splat(0.0f), g + g_offset + i, left);
    const real old = load_real(m + m_offset + i, left);
    const real moment = fma(gradient - old, splat(1.0f - beta1), old);
    const real square =
        load_real(v + v_offset + i, left) * splat(beta2) + gradient * gradient * splat(1.0f - beta2);
    const real update = splat(rate) * moment / fma(sqrt(square), splat(root), splat(epsilon));
    store_real(moment, m + m_offset + i, left);
    store_real(square, v + v_offset + i, left);
    store_real(fma(load_real(p + p_offset + i, left), splat(keep), -update), p + p_offset + i, left);
  }
}
