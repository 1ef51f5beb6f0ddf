// Unpacks weight panels (32 output columns) to floats in registers, one k at a time.
//
// Layouts by FORMAT, all starting at a panel's first byte:
//   F32   [K][32] float
//   F16   [K][32] half
//   BF16  [K][16] uint: columns c (low half) and c + 16 (high half)
//   blocks of 32:  [K/32] records: scale [32] half, (Q4_1, Q5_1: minimum [32] half),
//                  nibbles [16][32] uchar (k = 2i low, 2i+1 high), (Q5: fifth bits [4][32] uchar, k = 8i + bit)
//   Q8_0           [K/32] records: scale [32] half, quants [32][32] char
//   Q4_K, Q5_K     [K/256] records: scale, minimum [32] half, 8 × (scale [32] uchar, minimum [32] uchar),
//                  nibbles [128][32] uchar, (Q5_K: fifth bits [32][32] uchar)
//   Q6_K           [K/256] records: scale [32] half, group scales [16][32] char, nibbles [128][32] uchar,
//                  upper two bits [64][32] uchar
//
// PANEL_GROUP(panel, k0, count, BODY) runs BODY for k0 … k0+count−1, in order, with `uint kk` and the columns'
// weights `float16 w0, w1`; k0 is a multiple of GROUP_K and blocks take whole groups.

#define GROUP_K (FORMAT == FORMAT_Q6_K ? 16 : 32)

#if FORMAT == FORMAT_Q4_0
#define RECORD_BYTES 576
#elif FORMAT == FORMAT_Q4_1
#define RECORD_BYTES 640
#elif FORMAT == FORMAT_Q5_0
#define RECORD_BYTES 704
#elif FORMAT == FORMAT_Q5_1
#define RECORD_BYTES 768
#elif FORMAT == FORMAT_Q8_0
#define RECORD_BYTES 1088
#elif FORMAT == FORMAT_Q4_K
#define RECORD_BYTES 4736
#elif FORMAT == FORMAT_Q5_K
#define RECORD_BYTES 5760
#elif FORMAT == FORMAT_Q6_K
#define RECORD_BYTES 6720
#endif

#if FORMAT >= FORMAT_Q4_0
#define PANEL_BYTES(K) ((size_t)((K) / BLOCK_ELEMENTS) * RECORD_BYTES)
#elif FORMAT == FORMAT_F32
#define PANEL_BYTES(K) ((size_t)(K) * 128)
#else
#define PANEL_BYTES(K) ((size_t)(K) * 64)
#endif

#define PANEL_HALFS(p, i) half_lanes(vload16(i, (global const ushort *)(p)))
#define PANEL_BYTES16(p, i) lanes_float(lanes_from_uchar(vload16(i, p)))

#if FORMAT == FORMAT_F32
#define PANEL_GROUP(panel, k0, count, BODY)                                                \
  {                                                                                        \
    global const float *source = (global const float *)(panel) + (size_t)(k0) * 32;        \
    for (uint kk = (k0); kk < (k0) + (count); ++kk, source += 32) {                        \
      const float16 w0 = vload16(0, source), w1 = vload16(1, source);                      \
      BODY                                                                                 \
    }                                                                                      \
  }
#elif FORMAT == FORMAT_F16
#define PANEL_GROUP(panel, k0, count, BODY)                                                \
  {                                                                                        \
    global const ushort *source = (global const ushort *)(panel) + (size_t)(k0) * 32;      \
    for (uint kk = (k0); kk < (k0) + (count); ++kk, source += 32) {                        \
      const float16 w0 = half_lanes(vload16(0, source)), w1 = half_lanes(vload16(1, source)); \
      BODY                                                                                 \
    }                                                                                      \
  }
#elif FORMAT == FORMAT_BF16
#define PANEL_GROUP(panel, k0, count, BODY)                                                \
  {                                                                                        \
    global const uint *source = (global const uint *)(panel) + (size_t)(k0) * 16;          \
    for (uint kk = (k0); kk < (k0) + (count); ++kk, source += 16) {                        \
      const uint16 pair = vload16(0, source);                                              \
      const float16 w0 = as_float16(pair << 16), w1 = as_float16(pair & 0xffff0000u);      \
      BODY                                                                                 \
    }                                                                                      \
  }
#elif FORMAT == FORMAT_Q8_0
#define PANEL_GROUP(panel, k0, count, BODY)                                                \
  {                                                                                        \
    global const uchar *record = (panel) + (size_t)((k0) / 32) * RECORD_BYTES;             \
    const float16 s0 = PANEL_HALFS(record, 0), s1 = PANEL_HALFS(record, 1);                \
    global const char *source = (global const char *)(record + 64);                        \
    for (uint kk = (k0); kk < (k0) + 32; ++kk, source += 32) {                             \
      const float16 w0 = s0 * lanes_float(lanes_from_char(vload16(0, source)));            \
      const float16 w1 = s1 * lanes_float(lanes_from_char(vload16(1, source)));            \
      BODY                                                                                 \
    }                                                                                      \
  }
#else

#if FORMAT == FORMAT_Q4_0 || FORMAT == FORMAT_Q5_0
#define PANEL_SCALES                                                                       \
  const float16 s0 = PANEL_HALFS(record, 0), s1 = PANEL_HALFS(record, 1);                  \
  const float zero_point = FORMAT == FORMAT_Q4_0 ? -8.0f : -16.0f;                         \
  const float16 b0 = s0 * zero_point, b1 = s1 * zero_point;
#define PANEL_LOW (record + 64)
#elif FORMAT == FORMAT_Q4_1 || FORMAT == FORMAT_Q5_1
#define PANEL_SCALES                                                                       \
  const float16 s0 = PANEL_HALFS(record, 0), s1 = PANEL_HALFS(record, 1);                  \
  const float16 b0 = PANEL_HALFS(record, 2), b1 = PANEL_HALFS(record, 3);
#define PANEL_LOW (record + 128)
#elif FORMAT == FORMAT_Q4_K || FORMAT == FORMAT_Q5_K
#define PANEL_SCALES                                                                       \
  global const uchar *scales = record + 128 + group * 64;                                  \
  const float16 s0 = PANEL_HALFS(record, 0) * PANEL_BYTES16(scales, 0);                    \
  const float16 s1 = PANEL_HALFS(record, 1) * PANEL_BYTES16(scales, 1);                    \
  const float16 b0 = -(PANEL_HALFS(record, 2) * PANEL_BYTES16(scales, 2));                 \
  const float16 b1 = -(PANEL_HALFS(record, 3) * PANEL_BYTES16(scales, 3));
#define PANEL_LOW (record + 640)
#else
#define PANEL_SCALES                                                                       \
  global const char *scales = (global const char *)record + 64 + group * 32;               \
  const float16 s0 = PANEL_HALFS(record, 0) * lanes_float(lanes_from_char(vload16(0, scales))); \
  const float16 s1 = PANEL_HALFS(record, 1) * lanes_float(lanes_from_char(vload16(1, scales))); \
  const float16 b0 = s0 * -32.0f, b1 = s1 * -32.0f;
#define PANEL_LOW (record + 576)
#endif

// The bits above the nibble, in place (16, 32), of the k whose number in the record is `n`.
#if FORMAT == FORMAT_Q5_0 || FORMAT == FORMAT_Q5_1 || FORMAT == FORMAT_Q5_K
#define HIGH_ROW(n) ((n) / 8)
#define HIGH_BITS(h, n) (((h >> (int)((n) % 8)) & 1) << 4)
#elif FORMAT == FORMAT_Q6_K
#define HIGH_ROW(n) ((n) / 4)
#define HIGH_BITS(h, n) (((h >> (int)((n) % 4 * 2)) & 3) << 4)
#endif

#ifdef HIGH_ROW
#define PANEL_HIGH(n)                                                                      \
  const int16 h0 = lanes_from_uchar(vload16(HIGH_ROW(n) * 2, high));                       \
  const int16 h1 = lanes_from_uchar(vload16(HIGH_ROW(n) * 2 + 1, high));
#define PANEL_QUANT(q, h, n) lanes_float((q) | HIGH_BITS(h, n))
#else
#define PANEL_HIGH(n)
#define PANEL_QUANT(q, h, n) lanes_float(q)
#endif

#define PANEL_GROUP(panel, k0, count, BODY)                                                \
  {                                                                                        \
    global const uchar *record = (panel) + (size_t)((k0) / BLOCK_ELEMENTS) * RECORD_BYTES; \
    const uint group = (k0) % BLOCK_ELEMENTS / GROUP_K;                                    \
    PANEL_SCALES                                                                           \
    global const uchar *low = PANEL_LOW + group * (GROUP_K * 16);                          \
    global const uchar *high = PANEL_LOW + BLOCK_ELEMENTS * 16;                            \
    for (uint i = 0; i < GROUP_K; i += 2, low += 32) {                                     \
      const uint n = group * GROUP_K + i;                                                  \
      const int16 q0 = lanes_from_uchar(vload16(0, low));                                  \
      const int16 q1 = lanes_from_uchar(vload16(1, low));                                  \
      PANEL_HIGH(n)                                                                        \
      {                                                                                    \
        const uint kk = (k0) + i;                                                          \
        const float16 w0 = fma(PANEL_QUANT(q0 & 15, h0, n), s0, b0);                       \
        const float16 w1 = fma(PANEL_QUANT(q1 & 15, h1, n), s1, b1);                       \
        BODY                                                                               \
      }                                                                                    \
      {                                                                                    \
        const uint kk = (k0) + i + 1;                                                      \
        const float16 w0 = fma(PANEL_QUANT(q0 >> 4, h0, n + 1), s0, b0);                   \
        const float16 w1 = fma(PANEL_QUANT(q1 >> 4, h1, n + 1), s1, b1);                   \
        BODY                                                                               \
      }                                                                                    \
    }                                                                                      \
  }
#endif
