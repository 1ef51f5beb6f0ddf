// Per row and chunk of SPAN columns, the column with the highest logit / temperature + Gumbel noise, the lowest of
// equals.
//
//   logits        [rows, width] float, rows stride elements apart, from element offset
//   temperatures  [rows] float
//   counters      [rows, 2] ulong: Philox key and position
//   chunks        [rows, chunks, 2] float: the highest sum and its column as bits
// Noise of column c: words = Philox4x32-10(key, counter (c, position)), u = ((w0 << 20 ^ w1 >> 12) + 0.5) / 2^52,
// noise = −log(−log(u)); beyond one half −log(u) is −log1p(−(1 − u)), which keeps the digits near u = 1.
// Launch: GROUP · chunks × rows items in groups of GROUP. Tunable: GROUP (vector_math.opencl), SPAN.
#ifndef SPAN
#define SPAN 4096
#endif

uint2 philox_words(ulong key, uint low, ulong high) {
  uint4 c = (uint4)(low, 0, (uint)high, (uint)(high >> 32));
  uint k0 = (uint)key, k1 = (uint)(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint p0_low = 0xD2511F53u * c.x, p0_high = mul_hi(0xD2511F53u, c.x);
    const uint p1_low = 0xCD9E8D57u * c.z, p1_high = mul_hi(0xCD9E8D57u, c.z);
    c = (uint4)(p1_high ^ c.y ^ k0, p1_low, p0_high ^ c.w ^ k1, p0_low);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c.xy;
}

float gumbel_noise(ulong key, uint column, ulong position) {
  const uint2 w = philox_words(key, column, position);
  const uint upper = w.x & 0x80000000u;
  const uint2 v = upper ? ~w : w;
  // v is u itself below one half, else 1 − u; both keep 24 bits.
  const float u = fma((float)v.x, 0x1.0p-32f, ((float)(v.y >> 12) + 0.5f) * 0x1.0p-52f);
  return -log(upper ? -log1p(-u) : -log(u));
}

kernel GROUP_KERNEL void gumbel_argmax(global const float *logits, uint offset, uint stride, uint width,
                                       global const float *temperatures, global const ulong *counters,
                                       global float *chunks) {
  GROUP_LOCAL(scratch);
  const uint chunk = get_group_id(0);
  const size_t row = GROUP_ROW;
  const uint first = chunk * SPAN, last = min(first + SPAN, width);
  global const float *x = logits + offset + row * stride;
  float best = -INFINITY;
  uint best_at = first;
  for (uint c = first + GROUP_ITEM; c < last; c += GROUP) {
    // A token that a mask forbids needs no noise, and masks forbid most.
    if (x[c] == -INFINITY) continue;
    const float v = x[c] / temperatures[row] + gumbel_noise(counters[2 * row], c, counters[2 * row + 1]);
    if (v > best) {
      best = v;
      best_at = c;
    }
  }
  const float highest = GROUP_MAX(best, scratch);
#if GROUP > 1
  local uint lowest;
  if (GROUP_ITEM == 0) lowest = UINT_MAX;
  barrier(CLK_LOCAL_MEM_FENCE);
  if (best == highest && highest > -INFINITY) atomic_min(&lowest, best_at);
  barrier(CLK_LOCAL_MEM_FENCE);
  best_at = lowest == UINT_MAX ? first : lowest;
#endif
  if (GROUP_ITEM != 0) return;
  global float *out = chunks + (row * ((width + SPAN - 1) / SPAN) + chunk) * 2;
  out[0] = highest;
  out[1] = as_float((int)best_at);
}
