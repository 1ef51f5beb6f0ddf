// Reads stored matrices row by row: eight consecutive elements of a row, widened to float.
//
// Layouts: f32, f16, bf16 as plain elements; Q4_0 … Q6_K as the blocks of GGUF (ggml), 32 or 256 elements each.
//   row   start of a stored row
//   k0    first element, a multiple of 8
//   K     elements in the row
// Every element is fma(scale, quant, bias), which for all block types rounds as the format's definition does.
// Assumes FORMAT (one of FORMAT_*). Bytes are read one by one: blocks are only 2-byte aligned.

#define FORMAT_F32 0
#define FORMAT_F16 1
#define FORMAT_BF16 2
#define FORMAT_Q4_0 3
#define FORMAT_Q4_1 4
#define FORMAT_Q5_0 5
#define FORMAT_Q5_1 6
#define FORMAT_Q8_0 7
#define FORMAT_Q4_K 8
#define FORMAT_Q5_K 9
#define FORMAT_Q6_K 10

#ifndef FORMAT
#define FORMAT FORMAT_F32
#endif

#if FORMAT == FORMAT_Q4_0
#define BLOCK_BYTES 18
#elif FORMAT == FORMAT_Q4_1
#define BLOCK_BYTES 20
#elif FORMAT == FORMAT_Q5_0
#define BLOCK_BYTES 22
#elif FORMAT == FORMAT_Q5_1
#define BLOCK_BYTES 24
#elif FORMAT == FORMAT_Q8_0
#define BLOCK_BYTES 34
#elif FORMAT == FORMAT_Q4_K
#define BLOCK_BYTES 144
#elif FORMAT == FORMAT_Q5_K
#define BLOCK_BYTES 176
#elif FORMAT == FORMAT_Q6_K
#define BLOCK_BYTES 210
#endif

float block_half(global const uchar *p) { return vload_half(0, (global const half *)p); }

#if FORMAT >= FORMAT_Q4_K
#define BLOCK_ELEMENTS 256
#elif FORMAT >= FORMAT_Q4_0
#define BLOCK_ELEMENTS 32
#else
#define BLOCK_ELEMENTS 1
#endif

#if FORMAT == FORMAT_Q4_K || FORMAT == FORMAT_Q5_K
// The six-bit scale (x) and minimum (y) of group j of 32 in a block of 256.
int2 block_k_scales(global const uchar *s, uint j) {
  if (j < 4) return (int2)(s[j] & 63, s[j + 4] & 63);
  return (int2)((s[j + 4] & 15) | ((s[j - 4] >> 6) << 4), (s[j + 4] >> 4) | ((s[j] >> 6) << 4));
}
#endif

#if FORMAT >= FORMAT_Q4_0
// The unsigned quants (Q8_0: signed) of elements k0 … k0+7.
int8 block_quants(global const uchar *row, uint k0) {
  global const uchar *block = row + (size_t)(k0 / BLOCK_ELEMENTS) * BLOCK_BYTES;
  const uint k = k0 % BLOCK_ELEMENTS;
#if FORMAT == FORMAT_Q4_0
  return (convert_int8(vload8(0, block + 2 + k % 16)) >> (int)(k / 16 * 4)) & 15;
#elif FORMAT == FORMAT_Q4_1
  return (convert_int8(vload8(0, block + 4 + k % 16)) >> (int)(k / 16 * 4)) & 15;
#elif FORMAT == FORMAT_Q5_0 || FORMAT == FORMAT_Q5_1
  global const uchar *high = block + (FORMAT == FORMAT_Q5_0 ? 2 : 4);
  const int8 low = (convert_int8(vload8(0, high + 4 + k % 16)) >> (int)(k / 16 * 4)) & 15;
  const int bits = high[k / 8];
  return low | (((int8)(bits) >> (int8)(0, 1, 2, 3, 4, 5, 6, 7)) & 1) << 4;
#elif FORMAT == FORMAT_Q8_0
  return convert_int8(vload8(0, (global const char *)(block + 2 + k)));
#elif FORMAT == FORMAT_Q4_K
  return (convert_int8(vload8(0, block + 16 + k / 64 * 32 + k % 32)) >> (int)(k / 32 % 2 * 4)) & 15;
#elif FORMAT == FORMAT_Q5_K
  const int8 low = (convert_int8(vload8(0, block + 48 + k / 64 * 32 + k % 32)) >> (int)(k / 32 % 2 * 4)) & 15;
  return low | ((convert_int8(vload8(0, block + 16 + k % 32)) >> (int)(k / 32)) & 1) << 4;
#else
  const uint half_index = k / 128, quarter = k % 128 / 32, l = k % 32;
  const int8 low =
      (convert_int8(vload8(0, block + half_index * 64 + l + quarter % 2 * 32)) >> (int)(quarter / 2 * 4)) & 15;
  return low | ((convert_int8(vload8(0, block + 128 + half_index * 32 + l)) >> (int)(quarter * 2)) & 3) << 4;
#endif
}

// Scale (x) and bias (y) of elements k0 … k0+7.
float2 block_scales(global const uchar *row, uint k0) {
  global const uchar *block = row + (size_t)(k0 / BLOCK_ELEMENTS) * BLOCK_BYTES;
#if FORMAT == FORMAT_Q4_0
  const float d = block_half(block);
  return (float2)(d, -8.0f * d);
#elif FORMAT == FORMAT_Q5_0
  const float d = block_half(block);
  return (float2)(d, -16.0f * d);
#elif FORMAT == FORMAT_Q4_1 || FORMAT == FORMAT_Q5_1
  return (float2)(block_half(block), block_half(block + 2));
#elif FORMAT == FORMAT_Q8_0
  return (float2)(block_half(block), 0.0f);
#elif FORMAT == FORMAT_Q6_K
  const float d = block_half(block + 208) * (float)((global const char *)block)[192 + k0 % 256 / 16];
  return (float2)(d, -32.0f * d);
#else
  const int2 scales = block_k_scales(block + 4, k0 % 256 / 32);
  return (float2)(block_half(block) * (float)scales.x, -(block_half(block + 2) * (float)scales.y));
#endif
}
#endif

// Elements k0 … k0+7 of a row of K; zeros past the end.
float8 block_unpack8(global const uchar *row, uint k0, uint K) {
#if FORMAT >= FORMAT_Q4_0
  const float2 scales = block_scales(row, k0);
  return fma((float8)(scales.x), convert_float8(block_quants(row, k0)), (float8)(scales.y));
#else
  if (k0 + 8 <= K) {
#if FORMAT == FORMAT_F32
    return vload8(0, (global const float *)row + k0);
#elif FORMAT == FORMAT_F16
    return vload_half8(0, (global const half *)row + k0);
#else
    return as_float8(convert_uint8(vload8(0, (global const ushort *)row + k0)) << 16);
#endif
  }
  float values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  for (uint i = 0; k0 + i < K; ++i) {
#if FORMAT == FORMAT_F32
    values[i] = ((global const float *)row)[k0 + i];
#elif FORMAT == FORMAT_F16
    values[i] = vload_half(k0 + i, (global const half *)row);
#else
    values[i] = as_float((uint)((global const ushort *)row)[k0 + i] << 16);
#endif
  }
  return vload8(0, values);
#endif
}
