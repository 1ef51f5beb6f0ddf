// Stored weights as operands of tensor-core products: eight consecutive elements of a row in 16 bytes.
//
// A fetch only reads memory and a pack only computes, so that kernels can have many fetches under way.
//   mma_raw mma_fetch(row, k, K)   elements k … k+7 of the stored row `row`, k a multiple of 8; past K zeros
//   uint4 mma_pack(raw, k)         the same as bfloat16 (FORMAT_F16: half precision) in order
// Assumes FORMAT of block_formats.opencl, not FORMAT_F32. Quantised rows begin on a 16-byte boundary of their buffer
// or, as blocks do, where the block's size says; K is a multiple of the block. Plain rows with ALIGNED (K a multiple
// of 8, rows 16 bytes apart or a multiple of it) are read 16 bytes at a time, others element by element.
// An element of a quantised type is fma(scale, quant, bias) up to 2⁻¹⁵ of a quant's step, then rounded.

#ifndef ALIGNED
#define ALIGNED 1
#endif

#if FORMAT == FORMAT_F16
#define mma_pack2(low, high) warp_pack_f16(low, high)
#define warp_mma(c, a, b) warp_mma_f16(c, a, b)
#else
#define mma_pack2(low, high) warp_pack_bf16(low, high)
#define warp_mma(c, a, b) warp_mma_bf16(c, a, b)
#endif

#if FORMAT < FORMAT_Q4_0

typedef uint4 mma_raw;

mma_raw mma_fetch(global const uchar *row, uint k, uint K) {
#if ALIGNED
  return k < K ? warp_load16(row + (size_t)k * 2) : (uint4)(0);
#else
  if (k + 8 <= K) {
    const ushort8 v = vload8(0, (global const ushort *)row + k);
    return (uint4)(v.s0 | (uint)v.s1 << 16, v.s2 | (uint)v.s3 << 16, v.s4 | (uint)v.s5 << 16, v.s6 | (uint)v.s7 << 16);
  }
  uint4 v = (uint4)(0);
  global const ushort *from = (global const ushort *)row;
  if (k < K) v.x = from[k];
  if (k + 1 < K) v.x |= (uint)from[k + 1] << 16;
  if (k + 2 < K) v.y = from[k + 2];
  if (k + 3 < K) v.y |= (uint)from[k + 3] << 16;
  if (k + 4 < K) v.z = from[k + 4];
  if (k + 5 < K) v.z |= (uint)from[k + 5] << 16;
  if (k + 6 < K) v.w = from[k + 6];
  return v;
#endif
}

#define mma_pack(raw, k) (raw)

#else

// Codes' low bits, their further bits, and the block's scales: what the format needs of them.
typedef struct {
  uint2 low, high;
  uint4 head;
} mma_raw;

// Eight bytes on a 2-byte boundary.
uint2 mma_bytes8(global const uchar *p) {
  global const ushort *from = (global const ushort *)p;
  return (uint2)(from[0] | (uint)from[1] << 16, from[2] | (uint)from[3] << 16);
}

mma_raw mma_fetch(global const uchar *row, uint k0, uint K) {
  mma_raw raw;
  raw.low = raw.high = (uint2)(0);
  raw.head = (uint4)(0);
  // Zeros where the row has ended: scales of zero make zeros of all codes.
  if (k0 >= K) return raw;
  global const uchar *block = row + (size_t)(k0 / BLOCK_ELEMENTS) * BLOCK_BYTES;
  const uint k = k0 % BLOCK_ELEMENTS;
#if FORMAT == FORMAT_Q4_0
  raw.low = mma_bytes8(block + 2 + k % 16);
  raw.head.x = *(global const ushort *)block;
#elif FORMAT == FORMAT_Q4_1
  raw.low = vload2(0, (global const uint *)(block + 4 + k % 16));
  raw.head.x = *(global const uint *)block;
#elif FORMAT == FORMAT_Q5_0
  raw.low = mma_bytes8(block + 6 + k % 16);
  raw.high.x = block[2 + k / 8];
  raw.head.x = *(global const ushort *)block;
#elif FORMAT == FORMAT_Q5_1
  raw.low = *(global const uint2 *)(block + 8 + k % 16);
  raw.high.x = block[4 + k / 8];
  raw.head.x = *(global const uint *)block;
#elif FORMAT == FORMAT_Q8_0
  raw.low = mma_bytes8(block + 2 + k);
  raw.head.x = *(global const ushort *)block;
#elif FORMAT == FORMAT_Q4_K
  raw.low = *(global const uint2 *)(block + 16 + k / 64 * 32 + k % 32);
  raw.head = *(global const uint4 *)block;
#elif FORMAT == FORMAT_Q5_K
  raw.low = *(global const uint2 *)(block + 48 + k / 64 * 32 + k % 32);
  raw.high = *(global const uint2 *)(block + 16 + k % 32);
  raw.head = *(global const uint4 *)block;
#else
  raw.low = mma_bytes8(block + k / 128 * 64 + k % 64);
  raw.high = mma_bytes8(block + 128 + k / 128 * 32 + k % 32);
  raw.head.x = *(global const ushort *)(block + 208);
  raw.head.y = (uint)(int)((global const char *)block)[192 + k / 16];
#endif
  return raw;
}

float mma_half(uint bits) {
#ifdef WARP_EMULATED
  const ushort stored = (ushort)bits;
  return vload_half(0, (const half *)&stored);
#else
  float x;
  __asm__("{.reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h;}" : "=f"(x) : "r"(bits));
  return x;
#endif
}

#if FORMAT == FORMAT_Q4_K || FORMAT == FORMAT_Q5_K
// The six-bit scale (x) and minimum (y) of group j: block_k_scales on the twelve bytes in registers.
uint2 mma_k_scales(uint4 head, uint j) {
  const uint shift = j % 4 * 8;
  const uint scales = head.y >> shift, minima = head.z >> shift, rest = head.w >> shift;
  if (j < 4) return (uint2)(scales & 63, minima & 63);
  return (uint2)((rest & 15) | (scales >> 2 & 48), (rest >> 4 & 15) | (minima >> 2 & 48));
}
#endif

// The codes of four elements as bytes, in `w`, to floats 128 + code (Q8_0: 384 + code): a code is put into the
// mantissa, which takes less than a conversion.
#if FORMAT == FORMAT_Q8_0
#define MMA_CODE_BASE 384.0f
#define mma_code(bits) as_float(((bits) & 0x007f8000) | 0x43800000)
#define mma_codes(w) \
  (float4)(mma_code((w) << 15), mma_code((w) << 7), mma_code((w) >> 1), mma_code((w) >> 9))
#else
#define MMA_CODE_BASE 128.0f
#define mma_code(bits) as_float(((bits) & 0x007f0000) | 0x43000000)
#define mma_codes(w) \
  (float4)(mma_code((w) << 16), mma_code((w) << 8), mma_code(w), mma_code((w) >> 8))
#endif

uint4 mma_pack(mma_raw raw, uint k0) {
  const uint k = k0 % BLOCK_ELEMENTS;
  float scale, bias;
  uint2 codes;
#if FORMAT <= FORMAT_Q5_1
  codes = (raw.low >> (k / 16 * 4)) & 0x0f0f0f0f;
#if FORMAT >= FORMAT_Q5_0
  // Bit i of the byte to bit 4 of byte i.
  const uint bits = raw.high.x;
  codes.x |= (bits << 4 & 0x10) | (bits << 11 & 0x1000) | (bits << 18 & 0x100000) | (bits << 25 & 0x10000000);
  codes.y |= (bits & 0x10) | (bits << 7 & 0x1000) | (bits << 14 & 0x100000) | (bits << 21 & 0x10000000);
#endif
  scale = mma_half(raw.head.x);
#if FORMAT == FORMAT_Q4_0
  bias = -8.0f * scale;
#elif FORMAT == FORMAT_Q5_0
  bias = -16.0f * scale;
#else
  bias = mma_half(raw.head.x >> 16);
#endif
#elif FORMAT == FORMAT_Q8_0
  codes = raw.low ^ 0x80808080;
  scale = mma_half(raw.head.x);
  bias = 0.0f;
#elif FORMAT == FORMAT_Q6_K
  const uint quarter = k % 128 / 32;
  codes = ((raw.low >> (quarter / 2 * 4)) & 0x0f0f0f0f) | ((raw.high >> (quarter * 2)) & 0x03030303) << 4;
  scale = mma_half(raw.head.x) * (float)(int)raw.head.y;
  bias = -32.0f * scale;
#else
  codes = (raw.low >> (k / 32 % 2 * 4)) & 0x0f0f0f0f;
#if FORMAT == FORMAT_Q5_K
  codes |= ((raw.high >> (k / 32)) & 0x01010101) << 4;
#endif
  const uint2 scales = mma_k_scales(raw.head, k / 32);
  scale = mma_half(raw.head.x) * (float)scales.x;
  bias = -(mma_half(raw.head.x >> 16) * (float)scales.y);
#endif
  bias = fma(-MMA_CODE_BASE, scale, bias);
  const float4 a = fma((float4)(scale), mma_codes(codes.x), (float4)(bias));
  const float4 b = fma((float4)(scale), mma_codes(codes.y), (float4)(bias));
  return (uint4)(mma_pack2(a.x, a.y), mma_pack2(a.z, a.w), mma_pack2(b.x, b.y), mma_pack2(b.z, b.w));
}

#endif
