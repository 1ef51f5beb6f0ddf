// Weights drawn on the device: the numbers of RandomWeights (Sources/Tensors/RandomWeights.swift), bit for bit.
//
// random_elements: plain types.
//   out    [count] in FORMAT (f32, f16, bf16), from byte `offset` on, a multiple of four
//   first  the tensor's element that out[0] is
// Launch: one item for each quad of elements that the range touches; quads start at multiples of four of the tensor.
//
// random_blocks: quantised types.
//   out          [count] blocks of block_bytes (an even number), from byte `offset` on
//   first_block  the tensor's block that the first one is
//   d, m         bits of one or two halves (header_count) that go to byte header_offset of every block
// Launch: one item a block.

uint4 random_words(ulong key, ulong low, ulong high) {
  uint c0 = (uint)low, c1 = (uint)(low >> 32), c2 = (uint)high, c3 = (uint)(high >> 32);
  uint k0 = (uint)key, k1 = (uint)(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint p0 = c0 * 0xD2511F53u, h0 = mul_hi(c0, 0xD2511F53u);
    const uint p1 = c2 * 0xCD9E8D57u, h1 = mul_hi(c2, 0xCD9E8D57u);
    c0 = h1 ^ c1 ^ k0;
    c2 = h0 ^ c3 ^ k1;
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return (uint4)(c0, c1, c2, c3);
}

kernel void random_elements(global uchar *out, ulong offset, ulong first, ulong count, ulong seed, float step,
                            float mean) {
  const ulong quad = first / 4 + get_global_id(0);
  const uint4 drawn = random_words(seed, quad, 0);
  const uint words[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
  for (uint i = 0; i < 4; ++i) {
    const ulong element = quad * 4 + i;
    if (element < first || element - first >= count) continue;
    const float value = fma((float)((int)(words[i] >> 8) - 8388608), step, mean);
    const ulong place = element - first;
#if FORMAT == 0
    ((global float *)(out + offset))[place] = value;
#elif FORMAT == 1
    vstore_half_rte(value, place, (global half *)(out + offset));
#else
    const uint bits = as_uint(value);
    ((global ushort *)(out + offset))[place] = (ushort)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
#endif
  }
}

kernel void random_blocks(global uchar *out, ulong offset, ulong first_block, ulong count, ulong seed,
                          uint block_bytes, uint header_offset, uint header_count, uint d, uint m) {
  const ulong place = get_global_id(0);
  if (place >= count) return;
  global ushort *block = (global ushort *)(out + offset + place * block_bytes);
  for (uint part = 0; part * 16 < block_bytes; ++part) {
    const uint4 drawn = random_words(seed, first_block + place, part);
    const uint words[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
    const uint pairs = min(8u, (block_bytes - part * 16) / 2);
    for (uint pair = 0; pair < pairs; ++pair) {
      block[part * 8 + pair] = (ushort)(words[pair / 2] >> (pair % 2 * 16));
    }
  }
  block[header_offset / 2] = (ushort)d;
  if (header_count == 2) block[header_offset / 2 + 1] = (ushort)m;
}
