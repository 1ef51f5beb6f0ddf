// Parts of a row's log-softmax, so that only they are read back.
//
//   logits  [rows, width] float, rows stride elements apart, from element offset
// log_chunks: per row and chunk of SPAN columns the highest logit, its lowest column, Σ exp(x − highest) and
//   Σ exp((x − highest) / temperature): chunks [rows, chunks, 4] float, the column as bits.
//   Launch: GROUP · chunks × rows items in groups of GROUP. Tunable: VEC, GROUP, HELD, SPAN.
// penalize: pairs [count, 2] int (row, column): a positive logit is divided by the row's penalty, a negative
//   multiplied, in place. Launch: at least count items.
// mask_tokens: y[row, c] = logits[row, c] where bit c % 32 of the row's words is set, else −∞; y is packed.
//   masks [rows] int: which of words [masks, ceil(width / 32)] a row has, -1 for none. An item does MASKED columns.
//   Launch: ceil(width / MASKED) × rows items.
// pick: y[i] = logits[row, column] for pairs [count, 2]. Launch: at least count items.
#ifndef SPAN
#define SPAN 4096
#endif
#define MASKED (VEC == 16 ? 32 : VEC)

kernel GROUP_KERNEL void log_chunks(global const float *logits, uint offset, uint stride, uint width,
                                    global const float *temperatures, global float *chunks) {
  GROUP_LOCAL(scratch);
  ROW(held);
  const uint chunk = get_group_id(0);
  const size_t row = GROUP_ROW;
  const uint first = chunk * SPAN, count = min((uint)SPAN, width - first);
  global const float *x = logits + offset + row * stride + first;
  real best = splat(-INFINITY);
  integer best_at = (integer)(0x7fffffff);
  FOR_ROW(i, c, count) {
    const real v = keep_lanes(KEEP(held, i, load_real(x + c, count - c)), count - c, -INFINITY);
    best_at = select(best_at, (integer)((int)(first + c)) + VEC_LANES, v > best);
    best = fmax(best, v);
  }
  const float highest = GROUP_MAX(max_lanes(best), scratch);
  // The lowest column among the lanes that reached the highest logit; as float bits would lose it, as ints.
  int at = 0x7fffffff;
#if VEC == 1
  if (best == highest) at = best_at;
#else
  int places[VEC];
  float values[VEC];
#if VEC == 4
  vstore4(best_at, 0, places);
  vstore4(best, 0, values);
#else
  vstore16(best_at, 0, places);
  vstore16(best, 0, values);
#endif
  for (uint i = 0; i < VEC; ++i) {
    if (values[i] == highest) at = min(at, places[i]);
  }
#endif
#if GROUP > 1
  local int lowest;
  if (GROUP_ITEM == 0) lowest = 0x7fffffff;
  barrier(CLK_LOCAL_MEM_FENCE);
  atomic_min(&lowest, at);
  barrier(CLK_LOCAL_MEM_FENCE);
  at = lowest;
#endif
  const real inverse = splat(1.0f / temperatures[row]);
  // Where all are −∞ they add 0, where there are NaNs beside them NaN.
  const real peak = splat(highest == -INFINITY ? 0.0f : highest);
  real plain = splat(0.0f), tempered = splat(0.0f);
  FOR_ROW(i, c, count) {
    const real v = KEPT(held, i, load_real(x + c, count - c)) - peak;
    plain += keep_lanes(exp_real(v), count - c, 0.0f);
    tempered += keep_lanes(exp_real(v * inverse), count - c, 0.0f);
  }
  const float plain_sum = GROUP_SUM(sum_lanes(plain), scratch);
  const float tempered_sum = GROUP_SUM(sum_lanes(tempered), scratch);
  if (GROUP_ITEM == 0) {
    global float *out = chunks + (row * ((width + SPAN - 1) / SPAN) + chunk) * 4;
    out[0] = highest;
    out[1] = as_float(at == 0x7fffffff ? (int)first : at);
    out[2] = plain_sum;
    out[3] = tempered_sum;
  }
}

kernel void penalize(global float *logits, uint stride, global const int *pairs, global const float *penalties,
                     uint count) {
  const size_t i = get_global_id(0);
  if (i >= count) return;
  const size_t at = (size_t)pairs[2 * i] * stride + pairs[2 * i + 1];
  const float x = logits[at], penalty = penalties[pairs[2 * i]];
  logits[at] = x > 0.0f ? x / penalty : x * penalty;
}

kernel void pick(global const float *logits, uint offset, uint stride, global const int *pairs,
                 global float *y, uint count) {
  const size_t i = get_global_id(0);
  if (i >= count) return;
  y[i] = logits[offset + (size_t)pairs[2 * i] * stride + pairs[2 * i + 1]];
}

kernel void mask_tokens(global const float *logits, uint offset, uint stride, global const int *masks,
                        global const uint *words, global float *y, uint width) {
  const uint first = get_global_id(0) * MASKED, last = min(first + MASKED, width);
  const size_t row = get_global_id(1);
  if (first >= width) return;
  const int mask = masks[row];
  const uint word = mask < 0 ? 0xffffffffu : words[(size_t)mask * ((width + 31) / 32) + first / 32];
  global const float *x = logits + offset + row * stride;
#if VEC == 16
  for (uint c = first; c < last; ++c) y[row * width + c] = word >> (c - first) & 1 ? x[c] : -INFINITY;
#else
  const integer allowed = ((integer)((int)(word >> first % 32)) >> VEC_LANES & (integer)(1)) != (integer)(0);
  const real v = load_real(x + first, last - first);
  store_real(select(splat(-INFINITY), v, allowed), y + row * width + first, last - first);
#endif
}
