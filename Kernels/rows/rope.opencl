// Rotary position embedding: pair i of every head is rotated by position · frequency[i].
//
//   x          [rows, heads · head_dim] float, rows x_stride elements apart, from element x_offset
//   positions  [rows] int
//   rotations  [positions, rotary_dim / 2, 2] float: cosine and sine, computed in double on the host
//   y          [rows, heads · head_dim] float, packed
// direction: 1, or −1 to turn back.
// NEIGHBOURS: pairs are elements 2i and 2i+1, otherwise i and i + rotary_dim/2.
// Launch: heads × rows items with VEC 16, else (head_dim − rotary_dim / 2) · heads × rows: an item a pair or an
// element that is not rotated.
#ifndef NEIGHBOURS
#define NEIGHBOURS 0
#endif

kernel void rope(global const float *x, uint x_offset, uint x_stride, global const int *positions,
                 global const float *rotations, global float *y, uint heads, uint head_dim, uint rotary_dim,
                 float direction) {
  const size_t row = get_global_id(1);
  const uint pairs = rotary_dim / 2;
#if VEC == 16
  const uint head = get_global_id(0), first_pair = 0, last_pair = pairs;
  const uint first_plain = rotary_dim, last_plain = head_dim;
#else
  const uint items = head_dim - pairs;
  const uint head = get_global_id(0) / items, item = get_global_id(0) % items;
  const uint first_pair = item, last_pair = min(item + 1, pairs);
  const uint first_plain = pairs + item, last_plain = item < pairs ? 0 : first_plain + 1;
#endif
  if (head >= heads) return;
  global const float *input = x + x_offset + row * x_stride + head * head_dim;
  global float *output = y + (row * heads + head) * head_dim;
  global const float *rotation = rotations + (size_t)positions[row] * rotary_dim;
  for (uint i = first_pair; i < last_pair; ++i) {
    const uint first = NEIGHBOURS ? 2 * i : i;
    const uint second = NEIGHBOURS ? 2 * i + 1 : i + pairs;
    const float c = rotation[2 * i], s = rotation[2 * i + 1] * direction;
    const float a = input[first], b = input[second];
    output[first] = fma(a, c, -(b * s));
    output[second] = fma(a, s, b * c);
  }
  for (uint i = first_plain; i < last_plain; ++i) output[i] = input[i];
}
