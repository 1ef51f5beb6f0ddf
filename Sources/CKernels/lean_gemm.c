// y = x Wᵀ on packed panels with int8 activations.
//
// Per 32 k: an exact integer dot product of codes and activations, then
//   y += (d · dot) · scale + m · sum
// in the order of k, so a row's result is the same whatever rows share the call. Rows go through in tiles of up
// to 16 accumulators; the codes of 32 k are unpacked once a tile into eight registers.
#include "lean_tile.h"

// MARK: Activations

static void quantize_portable(const float *x, rk_act_block *b) {
  float amax = 0;
  for (int i = 0; i < 32; i++) amax = fmaxf(amax, fabsf(x[i]));
  float inverse = amax > 0 ? 127.0f / amax : 0;
  b->scale = amax / 127.0f;
  int low = 0, high = 0;
  for (int i = 0; i < 32; i++) {
    int v = (int)nearbyintf(x[i] * inverse);
    b->q[i] = (int8_t)v;
    if (i < 16) low += v;
    else high += v;
  }
  b->sum_low = b->scale * (float)low;
  b->sum_high = b->scale * (float)high;
  b->sum = b->scale * (float)(low + high);
}

#if RK_X86
RK_AVX512 static void quantize_avx512(const float *x, rk_act_block *b) {
  __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
  float amax = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(v0), _mm512_abs_ps(v1)));
  float inverse = amax > 0 ? 127.0f / amax : 0;
  b->scale = amax / 127.0f;
  __m512i i0 = _mm512_cvtps_epi32(_mm512_mul_ps(v0, _mm512_set1_ps(inverse)));
  __m512i i1 = _mm512_cvtps_epi32(_mm512_mul_ps(v1, _mm512_set1_ps(inverse)));
  _mm_storeu_si128((__m128i *)b->q, _mm512_cvtepi32_epi8(i0));
  _mm_storeu_si128((__m128i *)(b->q + 16), _mm512_cvtepi32_epi8(i1));
  int low = _mm512_reduce_add_epi32(i0), high = _mm512_reduce_add_epi32(i1);
  b->sum_low = b->scale * (float)low;
  b->sum_high = b->scale * (float)high;
  b->sum = b->scale * (float)(low + high);
}
#endif

static void quantize(const float *x, rk_act_block *b) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    quantize_avx512(x, b);
    return;
  }
  if (rk_has_avx2()) {
    rk_act_quantize_block_avx2(x, b);
    return;
  }
#endif
  quantize_portable(x, b);
}

// Rows of the tile that begins at a row.
static int tile_rows(int left) { return left >= 16 ? 16 : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1; }

void rk_act_quantize(const float *x, int k, int row, int rows, rk_act_block *acts, rk_act_block *rest) {
  int first = 0;
  while (row >= first + tile_rows(rows - first)) first += tile_rows(rows - first);
  size_t step = (size_t)tile_rows(rows - first), at = (size_t)first * (size_t)(k / 32) + (size_t)(row - first);
  for (int i = 0; i < k / 32; i++, at += step) {
    quantize(x + 32 * i, acts + at);
    if (!rest) continue;
    float left[32];
    for (int j = 0; j < 32; j++) left[j] = x[32 * i + j] - acts[at].scale * (float)acts[at].q[j];
    quantize(left, rest + at);
  }
}

// MARK: AVX-512

#if RK_X86
RK_AVX512 static inline __attribute__((always_inline)) __m512 half16(const uint8_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

RK_AVX512 static inline __attribute__((always_inline)) __m512 signed16(const uint8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

RK_AVX512 static inline __attribute__((always_inline)) __m512 unsigned16(__m128i v) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}

// k_scale_min for 16 rows.
RK_AVX512 static inline __attribute__((always_inline)) void k_scales(int j, const uint8_t *q, __m512 *scale,
                                                                     __m512 *minimum) {
  const __m128i low6 = _mm_set1_epi8(63), low4 = _mm_set1_epi8(15), high2 = _mm_set1_epi8(48);
  const __m128i *v = (const __m128i *)(const void *)q;
  if (j < 4) {
    *scale = unsigned16(_mm_and_si128(_mm_loadu_si128(v + j), low6));
    *minimum = unsigned16(_mm_and_si128(_mm_loadu_si128(v + j + 4), low6));
  } else {
    __m128i nibbles = _mm_loadu_si128(v + j + 4);
    __m128i top = _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128(v + j - 4), 2), high2);
    *scale = unsigned16(_mm_or_si128(_mm_and_si128(nibbles, low4), top));
    top = _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128(v + j), 2), high2);
    *minimum = unsigned16(_mm_or_si128(_mm_and_si128(_mm_srli_epi16(nibbles, 4), low4), top));
  }
}

RK_AVX512 static inline __attribute__((always_inline)) void unpack(int bits, const uint8_t *p, __m512i w[8]) {
  if (bits == 8) {
    for (int g = 0; g < 8; g++) w[g] = _mm512_loadu_si512(p + 64 * g);
    return;
  }
  const __m512i nibble = _mm512_set1_epi8(15);
  for (int i = 0; i < 4; i++) {
    __m512i v = _mm512_loadu_si512(p + 64 * i);
    w[i] = _mm512_and_si512(v, nibble);
    w[i + 4] = _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble);
  }
  // Ternary logic 0xF8 is a | (b & c).
  if (bits == 5) {
    const __m512i bit = _mm512_set1_epi8(16);
    __m512i h = _mm512_loadu_si512(p + 256);
    RK_UNROLL
    for (int g = 0; g < 8; g++) {
      __m512i v = g <= 4 ? _mm512_slli_epi16(h, 4 - (g <= 4 ? g : 4)) : _mm512_srli_epi16(h, g - 4);
      w[g] = _mm512_ternarylogic_epi64(w[g], v, bit, 0xF8);
    }
  }
  if (bits == 6) {
    const __m512i two = _mm512_set1_epi8(48);
    RK_UNROLL
    for (int g = 0; g < 8; g++) {
      __m512i h = _mm512_loadu_si512(p + 256 + 64 * (g / 4));
      int r = g & 3;
      __m512i v = r == 0 ? _mm512_slli_epi16(h, 4) : r == 1 ? _mm512_slli_epi16(h, 2)
                : r == 2 ? h : _mm512_srli_epi16(h, 2);
      w[g] = _mm512_ternarylogic_epi64(w[g], v, two, 0xF8);
    }
  }
}

RK_AVX512 static inline __attribute__((always_inline)) __m512i dot4(const __m512i *w, const int8_t *q) {
  __m512i sum = _mm512_setzero_si512();
  RK_UNROLL
  for (int g = 0; g < 4; g++) {
    int32_t four;
    memcpy(&four, q + 4 * g, 4);
    sum = _mm512_dpbusd_epi32(sum, w[g], _mm512_set1_epi32(four));
  }
  return sum;
}

RK_AVX512 static inline __attribute__((always_inline)) __m512i dot8(const __m512i *w, const int8_t *q) {
  __m512i sum = _mm512_setzero_si512();
  RK_UNROLL
  for (int g = 0; g < 8; g++) {
    int32_t four;
    memcpy(&four, q + 4 * g, 4);
    sum = _mm512_dpbusd_epi32(sum, w[g], _mm512_set1_epi32(four));
  }
  return sum;
}

// One panel against M rows; type and M are compile-time constants of each instance below.
RK_AVX512 static inline __attribute__((always_inline)) void tile(rk_type type, int M, tile_input in, __m512 acc[16]) {
  const lean_info info = lean_describe(type);
  const int subs = info.is_k ? 8 : 1, header = lean_header_bytes(info), blocks = in.k / 32;
  const uint8_t *unit = in.panel;
  RK_UNROLL
  for (int m = 0; m < M; m++) acc[m] = _mm512_setzero_ps();
  for (int u = 0; u < blocks / subs; u++, unit += header + subs * info.code_bytes) {
    __m512 d = half16(unit), m16 = d;
    if (info.has_min || (info.is_k && type != RK_Q6_K)) m16 = half16(unit + 32);
    for (int s = 0; s < subs; s++) {
      const rk_act_block *act = in.acts + (size_t)(u * subs + s) * (size_t)M;
      __m512i w[8];
      unpack(info.bits, unit + header + s * info.code_bytes, w);
      _mm_prefetch((const char *)(unit + header + s * info.code_bytes + 1536), _MM_HINT_T0);
      if (type == RK_Q6_K) {
        __m512 d0 = _mm512_mul_ps(d, signed16(unit + 64 + s * 32));
        __m512 d1 = _mm512_mul_ps(d, signed16(unit + 64 + s * 32 + 16));
        __m512 c = _mm512_set1_ps(-32.0f), m0 = _mm512_mul_ps(d0, c), m1 = _mm512_mul_ps(d1, c);
        RK_UNROLL
        for (int m = 0; m < M; m++) {
          const rk_act_block *b = act + m;
          __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(dot4(w, b->q)), d0);
          t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot4(w + 4, b->q + 16)), d1, t);
          acc[m] = _mm512_fmadd_ps(t, _mm512_set1_ps(b->scale), acc[m]);
          acc[m] = _mm512_fmadd_ps(m0, _mm512_set1_ps(b->sum_low), acc[m]);
          acc[m] = _mm512_fmadd_ps(m1, _mm512_set1_ps(b->sum_high), acc[m]);
        }
        continue;
      }
      __m512 wd = d, wm;
      if (info.is_k) {
        __m512 scale, minimum;
        k_scales(s, unit + 64, &scale, &minimum);
        wd = _mm512_mul_ps(d, scale);
        wm = _mm512_mul_ps(_mm512_sub_ps(_mm512_setzero_ps(), m16), minimum);
      } else if (info.has_min) {
        wm = m16;
      } else {
        wm = _mm512_mul_ps(d, _mm512_set1_ps((float)-info.offset));
      }
      RK_UNROLL
      for (int m = 0; m < M; m++) {
        const rk_act_block *b = act + m;
        __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(dot8(w, b->q)), wd);
        acc[m] = _mm512_fmadd_ps(t, _mm512_set1_ps(b->scale), acc[m]);
        acc[m] = _mm512_fmadd_ps(wm, _mm512_set1_ps(b->sum), acc[m]);
      }
    }
  }
}

#define TILE(TYPE, M)                                                                                       \
  RK_AVX512 static void tile_##TYPE##_##M(tile_input in, const float *bias, float *y, size_t stride,        \
                                          int columns, int add) {                                           \
    __m512 acc[16];                                                                                         \
    tile(RK_##TYPE, M, in, acc);                                                                            \
    __mmask16 mask = (__mmask16)((1u << columns) - 1);                                                      \
    __m512 b = bias ? _mm512_maskz_loadu_ps(mask, bias) : _mm512_setzero_ps();                              \
    RK_UNROLL for (int m = 0; m < M; m++) {                                                                 \
      float *out = y + (size_t)m * stride;                                                                  \
      __m512 base = add ? _mm512_maskz_loadu_ps(mask, out) : b;                                             \
      _mm512_mask_storeu_ps(out, mask, _mm512_add_ps(acc[m], base));                                        \
    }                                                                                                       \
  }
#define TILES(TYPE) TILE(TYPE, 1) TILE(TYPE, 2) TILE(TYPE, 4) TILE(TYPE, 8) TILE(TYPE, 16)
TILES(Q4_0) TILES(Q4_1) TILES(Q5_0) TILES(Q5_1) TILES(Q8_0) TILES(Q4_K) TILES(Q5_K) TILES(Q6_K)

#define ROW(TYPE) [RK_##TYPE] = {tile_##TYPE##_1, tile_##TYPE##_2, tile_##TYPE##_4, tile_##TYPE##_8, tile_##TYPE##_16}
static const tile_function tiles[8][5] = {ROW(Q4_0), ROW(Q4_1), ROW(Q5_0), ROW(Q5_1),
                                          ROW(Q8_0), ROW(Q4_K), ROW(Q5_K), ROW(Q6_K)};
#endif

// MARK: Portable twin

static uint8_t packed_code(lean_info info, const uint8_t *codes, int n, int k) {
  int g = k / 4, byte = n * 4 + k % 4;
  if (info.bits == 8) return codes[g * 64 + byte];
  uint8_t low = g < 4 ? codes[g * 64 + byte] & 15 : codes[(g - 4) * 64 + byte] >> 4;
  if (info.bits == 5) low |= (uint8_t)((codes[256 + byte] >> g & 1) << 4);
  if (info.bits == 6) low |= (uint8_t)((codes[256 + (g / 4) * 64 + byte] >> (2 * (g & 3)) & 3) << 4);
  return low;
}

static float portable_element(rk_type type, const uint8_t *panel, int n, int k, const rk_act_block *acts,
                              int step) {
  lean_info info = lean_describe(type);
  int subs = info.is_k ? 8 : 1, header = lean_header_bytes(info);
  float acc = 0;
  for (int block = 0; block < k / 32; block++) {
    const uint8_t *unit = panel + (size_t)(block / subs) * (size_t)lean_unit_bytes(info);
    const rk_act_block *b = acts + (size_t)block * (size_t)step;
    int s = block % subs, low = 0, high = 0;
    const uint8_t *codes = unit + header + s * info.code_bytes;
    for (int i = 0; i < 32; i++) {
      int product = packed_code(info, codes, n, i) * b->q[i];
      if (i < 16) low += product;
      else high += product;
    }
    float d = rk_half_to_float(read_u16(unit + 2 * n));
    if (type == RK_Q6_K) {
      float d0 = d * (int8_t)unit[64 + s * 32 + n], d1 = d * (int8_t)unit[64 + s * 32 + 16 + n];
      acc = fmaf(fmaf((float)high, d1, (float)low * d0), b->scale, acc);
      acc = fmaf(d1 * -32.0f, b->sum_high, fmaf(d0 * -32.0f, b->sum_low, acc));
      continue;
    }
    float m = d * (float)-info.offset;
    if (info.has_min) m = rk_half_to_float(read_u16(unit + 32 + 2 * n));
    if (info.is_k) {
      uint8_t scale, minimum;
      k_scale_min(s, unit + 64 + n, 16, &scale, &minimum);
      m = -rk_half_to_float(read_u16(unit + 32 + 2 * n)) * minimum;
      d *= scale;
    }
    acc = fmaf(m, b->sum, fmaf((float)(low + high) * d, b->scale, acc));
  }
  return acc;
}

// MARK: Entry

static void run_tile(rk_type type, const uint8_t *panel, int k, int M, const rk_act_block *acts,
                     const float *bias, float *y, size_t stride, int columns, int add) {
#if RK_X86
  const tile_function(*wide)[5] = rk_has_avx512_vnni() ? tiles : rk_has_avx2() ? rk_lean_tiles_avx2 : NULL;
  if (wide) {
    int which = M == 16 ? 4 : M == 8 ? 3 : M / 2;
    wide[type][which]((tile_input){panel, acts, k}, bias, y, stride, columns, add);
    return;
  }
#endif
  for (int m = 0; m < M; m++)
    for (int i = 0; i < columns; i++) {
      float *out = y + (size_t)m * stride + i;
      *out = portable_element(type, panel, i, k, acts + m, M) + (add ? *out : bias ? bias[i] : 0);
    }
}

void rk_lean_gemm(rk_type type, const uint8_t *panels, int panel_begin, int panel_end, int n, int k,
                  const rk_act_block *acts, const rk_act_block *rest, int rows, const float *bias, float *y,
                  size_t y_stride) {
  size_t panel_bytes = rk_lean_panel_bytes(type, k);
  // Activations of a chunk of rows stay in the second-level cache while the panels pass by.
  int chunk = 16 * 24576 / (k > 24576 ? 24576 : k);
  chunk = chunk < 16 ? 16 : chunk / 16 * 16;
  for (int begin = 0; begin < rows; begin += chunk) {
    int end = begin + chunk < rows ? begin + chunk : rows;
    for (int p = panel_begin; p < panel_end; p++) {
      const uint8_t *panel = panels + (size_t)p * panel_bytes;
      int columns = n - 16 * p < 16 ? n - 16 * p : 16, M;
      const float *b = bias ? bias + 16 * p : NULL;
      for (int r = begin; r < end; r += M) {
        M = tile_rows(end - r);
        size_t at = (size_t)r * (size_t)(k / 32);
        float *out = y + (size_t)r * y_stride + 16 * p;
        run_tile(type, panel, k, M, acts + at, b, out, y_stride, columns, 0);
        if (rest) run_tile(type, panel, k, M, rest + at, NULL, out, y_stride, columns, 1);
      }
    }
  }
}
