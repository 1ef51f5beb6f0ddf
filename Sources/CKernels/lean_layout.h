// The packed panel of the lean path: 16 output rows side by side, so that one 512-bit register holds four
// consecutive k of each row and VNNI multiplies 64 codes at a time.
//
// A unit is 32 k (simple types) or 256 k (K types). Its parts, in order:
//   simple:  d f16[16], m f16[16] (types with a minimum), codes
//   Q4_K, Q5_K: D f16[16], Dmin f16[16], the 12 bytes of 6-bit scales and minima as u8[12][16], 8 × codes
//   Q6_K: D f16[16], 32 bytes of padding, 8 × (low scale i8[16], high scale i8[16]), 8 × codes
// Codes of 32 k: 4 × 64 bytes, byte n·4+j of vector i holds row n, k = 4i+j in its low and k = 16+4i+j in its
// high nibble; 5-bit types add 64 bytes whose bit g is bit 4 of k = 4g+j; 6-bit types add 2 × 64 bytes with two
// bits for each of four g; Q8_0 holds 8 × 64 bytes of code + 128.
#pragma once
#include "internal.h"

typedef struct {
  int block;        // elements in a source block
  int source_bytes; // bytes of a source block
  int code_bytes;   // packed codes of 32 k × 16 rows
  int bits;
  int has_min;      // simple types with a stored minimum
  int is_k;
  int offset;       // subtracted from codes
} lean_info;

static inline lean_info lean_describe(rk_type type) {
  switch (type) {
    case RK_Q4_0: return (lean_info){32, 18, 256, 4, 0, 0, 8};
    case RK_Q4_1: return (lean_info){32, 20, 256, 4, 1, 0, 0};
    case RK_Q5_0: return (lean_info){32, 22, 320, 5, 0, 0, 16};
    case RK_Q5_1: return (lean_info){32, 24, 320, 5, 1, 0, 0};
    case RK_Q8_0: return (lean_info){32, 34, 512, 8, 0, 0, 128};
    case RK_Q4_K: return (lean_info){256, 144, 256, 4, 0, 1, 0};
    case RK_Q5_K: return (lean_info){256, 176, 320, 5, 0, 1, 0};
    case RK_Q6_K: return (lean_info){256, 210, 384, 6, 0, 1, 32};
    default: return (lean_info){0};
  }
}

static inline int lean_header_bytes(lean_info info) {
  if (!info.is_k) return 32 + 32 * info.has_min;
  return info.bits == 6 ? 64 + 256 : 64 + 192;
}

static inline int lean_unit_bytes(lean_info info) {
  return lean_header_bytes(info) + (info.is_k ? 8 : 1) * info.code_bytes;
}

static inline uint16_t read_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

// The 6-bit scale and minimum of sub-block j of a Q4_K or Q5_K block, whose 12 bytes lie `step` apart.
static inline void k_scale_min(int j, const uint8_t *q, int step, uint8_t *scale, uint8_t *minimum) {
  if (j < 4) {
    *scale = q[j * step] & 63;
    *minimum = q[(j + 4) * step] & 63;
  } else {
    *scale = (uint8_t)((q[(j + 4) * step] & 15) | (q[(j - 4) * step] >> 6) << 4);
    *minimum = (uint8_t)((q[(j + 4) * step] >> 4) | (q[j * step] >> 6) << 4);
  }
}

// Codes of the 32 elements of sub-block `s` (0 for simple types) of a source block.
static inline void lean_codes(rk_type type, const uint8_t *b, int s, uint8_t q[32]) {
  switch (type) {
    case RK_Q4_0: case RK_Q4_1: {
      const uint8_t *n = b + (type == RK_Q4_0 ? 2 : 4);
      for (int i = 0; i < 16; i++) q[i] = n[i] & 15, q[i + 16] = n[i] >> 4;
      break;
    }
    case RK_Q5_0: case RK_Q5_1: {
      const uint8_t *h = b + (type == RK_Q5_0 ? 2 : 4), *n = h + 4;
      uint32_t bits = (uint32_t)h[0] | (uint32_t)h[1] << 8 | (uint32_t)h[2] << 16 | (uint32_t)h[3] << 24;
      for (int i = 0; i < 16; i++) {
        q[i] = (uint8_t)((n[i] & 15) | (bits >> i & 1) << 4);
        q[i + 16] = (uint8_t)((n[i] >> 4) | (bits >> (i + 16) & 1) << 4);
      }
      break;
    }
    case RK_Q8_0:
      for (int i = 0; i < 32; i++) q[i] = (uint8_t)(b[2 + i] ^ 0x80);
      break;
    case RK_Q4_K: case RK_Q5_K: {
      const uint8_t *n = b + (type == RK_Q4_K ? 16 : 48) + (s / 2) * 32;
      for (int i = 0; i < 32; i++) q[i] = s & 1 ? n[i] >> 4 : n[i] & 15;
      if (type == RK_Q5_K)
        for (int i = 0; i < 32; i++) q[i] |= (uint8_t)((b[16 + i] >> s & 1) << 4);
      break;
    }
    case RK_Q6_K: {
      // 128 elements from 64 low and 32 high bytes; sub-block s is quarter s % 4 of half s / 4.
      const uint8_t *l = b + (s / 4) * 64 + (s % 2) * 32, *h = b + 128 + (s / 4) * 32;
      int quarter = s % 4;
      for (int i = 0; i < 32; i++) {
        uint8_t low = quarter < 2 ? l[i] & 15 : l[i] >> 4;
        q[i] = (uint8_t)(low | (h[i] >> (2 * quarter) & 3) << 4);
      }
      break;
    }
    default: break;
  }
}
