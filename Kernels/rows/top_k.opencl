// The k highest logits of every row, in no order; of equal ones those with the lowest columns.
//
//   logits  [rows, width] float, rows stride elements apart, from element offset
//   counts  [rows] int: k of the row, at most width
//   starts  [rows] int: where the row's results begin
//   ids     columns, values  their logits
// Radix select: four passes over eight bits of an order-preserving key find the k-th highest logit.
// Launch: GROUP × rows items in groups of GROUP. Tunable: GROUP.

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
#endif

kernel void top_k(global const float *logits, uint offset, uint stride, uint width, global const int *counts,
                  global const int *starts, global int *ids, global float *values) {
  local uint histogram[256];
  local uint prefix, wanted, taken;
  const uint item = GROUP_ITEM;
  const size_t row = get_group_id(1);
  global const float *x = logits + offset + row * stride;
  if (item == 0) {
    prefix = 0;
    wanted = counts[row];
    taken = 0;
  }
  if (counts[row] <= 0) return;
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
  const uint threshold = prefix;
  global int *id_out = ids + starts[row];
  global float *value_out = values + starts[row];
  for (uint c = item; c < width; c += GROUP) {
    if (order_key(x[c]) > threshold) {
      const uint place = COUNT_UP(&taken);
      id_out[place] = (int)c;
      value_out[place] = x[c];
    }
  }
  SYNC;
  // Equal logits are rare, so one item takes those with the lowest columns.
  if (item == 0) {
    uint place = taken;
    for (uint c = 0; c < width && place < (uint)counts[row]; ++c) {
      if (order_key(x[c]) == threshold) {
        id_out[place] = (int)c;
        value_out[place++] = x[c];
      }
    }
  }
}
