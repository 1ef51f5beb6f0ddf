// Rotary position embedding: pair i of every head is rotated by position · frequency[i].
//
//   x          [rows, heads · head_dim] float, rows x_stride elements apart, from element x_offset
//   positions  [rows] int
//   rotations  [positions, rotary_dim / 2, 2] float: cosine and sine, computed in double on the host
//   y          [rows, heads · head_dim] float, packed
// direction: 1, or −1 to turn back.
// NEIGHBOURS: pairs are elements 2i and 2i+1, otherwise i and i + rotary_dim/2.
// Launch: 1 × rows items with VEC 16, else (head_dim − rotary_dim / 2) · heads × rows: an item a pair or an element
// that is not rotated.
#ifndef NEIGHBOURS
#define NEIGHBOURS 0
#endif

#if VEC == 16
// Rotates up to 16 pairs of the `count` that are left of a head.
void rotate_pairs(global const float *input, global const float *rotation, global float *output, uint pairs,
                  uint count, float direction) {
  const float16 r0 = load_real(rotation, 2 * count), r1 = load_real(rotation + 16, count > 8 ? 2 * count - 16 : 0);
  const float16 c = (float16)(r0.even, r1.even), s = (float16)(r0.odd, r1.odd) * (float16)(direction);
#if NEIGHBOURS
  const float16 x0 = load_real(input, 2 * count), x1 = load_real(input + 16, count > 8 ? 2 * count - 16 : 0);
  const float16 a = (float16)(x0.even, x1.even), b = (float16)(x0.odd, x1.odd);
  const float16 first = fma(a, c, -(b * s)), second = fma(a, s, b * c);
  float16 y0, y1;
  y0.even = first.lo;
  y0.odd = second.lo;
  y1.even = first.hi;
  y1.odd = second.hi;
  store_real(y0, output, 2 * count);
  store_real(y1, output + 16, count > 8 ? 2 * count - 16 : 0);
#else
  const float16 a = load_real(input, count), b = load_real(input + pairs, count);
  store_real(fma(a, c, -(b * s)), output, count);
  store_real(fma(a, s, b * c), output + pairs, count);
#endif
}

kernel void rope(global const float *x, uint x_offset, uint x_stride, global const int *positions,
                 global const float *rotations, global float *y, uint heads, uint head_dim, uint rotary_dim,
                 float direction) {
  const size_t row = get_global_id(1);
  const uint pairs = rotary_dim / 2;
  global const float *rotation = rotations + (size_t)positions[row] * rotary_dim;
  for (uint head = 0; head < heads; ++head) {
    global const float *input = x + x_offset + row * x_stride + head * head_dim;
    global float *output = y + (row * heads + head) * head_dim;
    for (uint i = 0; i < pairs; i += 16) {
      const uint at = NEIGHBOURS ? 2 * i : i;
      rotate_pairs(input + at, rotation + 2 * i, output + at, pairs, pairs - i, direction);
    }
    for (uint i = rotary_dim; i < head_dim; ++i) output[i] = input[i];
  }
}
#else
kernel void rope(global const float *x, uint x_offset, uint x_stride, global const int *positions,
                 global const float *rotations, global float *y, uint heads, uint head_dim, uint rotary_dim,
                 float direction) {
  const size_t row = get_global_id(1);
  const uint pairs = rotary_dim / 2, items = head_dim - pairs;
  const uint head = get_global_id(0) / items, item = get_global_id(0) % items;
  if (head >= heads) return;
  global const float *input = x + x_offset + row * x_stride + head * head_dim;
  global float *output = y + (row * heads + head) * head_dim;
  global const float *rotation = rotations + (size_t)positions[row] * rotary_dim;
  if (item < pairs) {
    const uint first = NEIGHBOURS ? 2 * item : item;
    const uint second = NEIGHBOURS ? 2 * item + 1 : item + pairs;
    const float c = rotation[2 * item], s = rotation[2 * item + 1] * direction;
    const float a = input[first], b = input[second];
    output[first] = fma(a, c, -(b * s));
    output[second] = fma(a, s, b * c);
  } else {
    output[pairs + item] = input[pairs + item];
  }
}
#endif
