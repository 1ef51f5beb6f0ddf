// The k highest logits of every row, in no order; of equal ones those with the lowest columns.
//
//   logits  [rows, width] float, rows stride elements apart, from element offset
//   counts  [rows] int: k of the row, at most width
//   starts  [rows] int: where the row's results begin
//   ids     columns, values  their logits
// Groups of several items read a row twice: the k-th highest of the items' own maxima is at most the k-th highest
// logit, so what reaches it is few; these candidates are ranked among each other. Where k exceeds the items, or too
// many reach the bound, and for groups of one item: radix select, four passes over eight bits of an order-preserving
// key, which finds the k-th highest logit, then the results.
// Launch: GROUP × rows items in groups of GROUP. Tunable: VEC, GROUP (vector_math.opencl).
#define CANDIDATES 1024

uint order_key(float x) {
  const uint bits = as_uint(x + 0.0f);  // −0 counts as 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

#if GROUP == 1
#define SYNC
#define COUNT_UP(p) ((*(p))++)
#else
#define SYNC barrier(CLK_LOCAL_MEM_FENCE)
#define COUNT_UP(p) atomic_inc(p)

// Whether the row was done: its candidates were few enough. Called by the whole group.
bool top_candidates(global const float *x, uint width, uint k, global int *id_out, global float *value_out,
                    local float *peaks, local float *bound, local uint *found, local int *columns,
                    local float *candidates) {
  const uint item = GROUP_ITEM;
  real highest = splat(-INFINITY);
  for (uint c = item * VEC; c < width; c += GROUP * VEC) {
    highest = fmax(highest, keep_lanes(load_real(x + c, width - c), width - c, -INFINITY));
  }
  const float peak = max_lanes(highest);
  peaks[item] = peak;
  if (item == 0) *found = 0;
  SYNC;
  uint rank = 0;
  for (uint i = 0; i < GROUP; ++i) rank += peaks[i] > peak || (peaks[i] == peak && i < item);
  if (rank == k - 1) *bound = peak;
  SYNC;
  const float lowest = *bound;
  for (uint c = item; c < width; c += GROUP) {
    const float v = x[c];
    if (v >= lowest) {
      const uint place = COUNT_UP(found);
      if (place < CANDIDATES) {
        columns[place] = (int)c;
        candidates[place] = v;
      }
    }
  }
  SYNC;
  const uint count = *found;
  // Fewer than k only where logits are not numbers.
  if (count > CANDIDATES || count < k) return false;
  for (uint i = item; i < count; i += GROUP) {
    const float v = candidates[i];
    const int column = columns[i];
    uint place = 0;
    for (uint j = 0; j < count; ++j) place += candidates[j] > v || (candidates[j] == v && columns[j] < column);
    if (place < k) {
      id_out[place] = column;
      value_out[place] = v;
    }
  }
  return true;
}
#endif

kernel GROUP_KERNEL void top_k(global const float *logits, uint offset, uint stride, uint width,
                               global const int *counts, global const int *starts, global int *ids,
                               global float *values) {
  local uint histogram[256];
  local uint prefix, wanted, taken;
  const uint item = GROUP_ITEM;
  const size_t row = GROUP_ROW;
  global const float *x = logits + offset + row * stride;
  const uint k = (uint)max(counts[row], 0);
  if (k == 0) return;
  global int *id_out = ids + starts[row];
  global float *value_out = values + starts[row];
#if GROUP > 1
  local float peaks[GROUP], candidates[CANDIDATES], bound;
  local int columns[CANDIDATES];
  if (k <= GROUP &&
      top_candidates(x, width, k, id_out, value_out, peaks, &bound, &taken, columns, candidates)) {
    return;
  }
#endif
  SYNC;
  if (item == 0) {
    prefix = 0;
    wanted = k;
    taken = 0;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (uint i = item; i < 256; i += GROUP) histogram[i] = 0;
    SYNC;
    const uint high = prefix;
    for (uint c = item; c < width; c += GROUP) {
      const uint key = order_key(x[c]);
      if (shift == 24 || key >> (shift + 8) == high) COUNT_UP(&histogram[(key >> shift) & 255]);
    }
    SYNC;
    if (item == 0) {
      int digit = 255;
      while (digit > 0 && histogram[digit] < wanted) wanted -= histogram[digit--];
      prefix = high << 8 | (uint)digit;
    }
    SYNC;
  }
  const uint threshold = prefix, equals = wanted;
  for (uint c = item; c < width; c += GROUP) {
    if (order_key(x[c]) > threshold) {
      const uint place = COUNT_UP(&taken);
      id_out[place] = (int)c;
      value_out[place] = x[c];
    }
  }
  // Of the logits that equal the k-th, those with the lowest columns: GROUP columns at a time, each item's place from
  // the bits of those before it.
#if GROUP == 1
  uint place = taken;
  for (uint c = 0; c < width && place < k; ++c) {
    if (order_key(x[c]) == threshold) {
      id_out[place] = (int)c;
      value_out[place++] = x[c];
    }
  }
#else
  local uint bits[(GROUP + 31) / 32];
  uint before = 0;
  for (uint first = 0; first < width && before < equals; first += GROUP) {
    const uint c = first + item;
    SYNC;
    if (item < (GROUP + 31) / 32) bits[item] = 0;
    SYNC;
    const bool equal = c < width && order_key(x[c]) == threshold;
    if (equal) atomic_or(&bits[item / 32], 1u << item % 32);
    SYNC;
    uint place = before;
    for (uint i = 0; i < (GROUP + 31) / 32; ++i) {
      const uint word = bits[i];
      before += popcount(word);
      if (i < item / 32) place += popcount(word);
      if (i == item / 32) place += popcount(word & ((1u << item % 32) - 1));
    }
    if (equal && place < equals) {
      id_out[k - equals + place] = (int)c;
      value_out[k - equals + place] = x[c];
    }
  }
#endif
}
