// Packs operands of training products: narrowing, transposing and pairing in one pass (training_pack.h).
#include "avx2_tile.h"
#include "training_pack.h"
#include "wide_math.h"

// MARK: Portable twin

// Float32 only: without bfloat16 instructions nothing is narrowed.
static void portable_block(const train_operand *x, int from, int depth, uint32_t *block) {
  size_t line = x->by_columns ? 1 : x->stride, word = x->by_columns ? x->stride : 1;
  float *out = (float *)(void *)block;
  for (int first = 0; first < x->lines; first += TRAIN_UNIT) {
    int lines = x->lines - first < TRAIN_UNIT ? x->lines - first : TRAIN_UNIT;
    for (int d = 0; d < depth; d++, out += TRAIN_UNIT)
      for (int i = 0; i < TRAIN_UNIT; i++)
        out[i] = i < lines ? x->source[(size_t)(first + i) * line + (size_t)(from + d) * word] : 0;
  }
}

#if RK_X86
static inline uint32_t low_bits(int count) { return count >= 32 ? ~0u : count <= 0 ? 0 : (1u << count) - 1; }

// Two vectors of floats as one of bfloat16, `low` first.
RK_AVX512_BF16 static inline __attribute__((always_inline)) __m512i narrowed(__m512 low, __m512 high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// Lines are rows of the source.
#define PACK_ROWS(name, target, narrow, words)                                                              \
  target static void name(const train_operand *x, int from, int depth, uint32_t *block) {                  \
    const int each = narrow ? 2 : 1;                                                                        \
    for (int first = 0; first < x->lines; first += TRAIN_UNIT, block += TRAIN_UNIT * depth) {              \
      int lines = x->lines - first < TRAIN_UNIT ? x->lines - first : TRAIN_UNIT;                           \
      for (int d = 0; d < depth; d += TRAIN_UNIT) {                                                        \
        int count = depth - d < TRAIN_UNIT ? depth - d : TRAIN_UNIT, k = (from + d) * each;                \
        int left = x->k - k < count * each ? x->k - k : count * each;                                      \
        __mmask16 low = (__mmask16)low_bits(left), high = (__mmask16)(low_bits(left) >> 16);               \
        __m512i r[16];                                                                                     \
        RK_UNROLL                                                                                          \
        for (int i = 0; i < 16; i++) {                                                                     \
          const float *row = x->source + (size_t)(first + (i < lines ? i : 0)) * x->stride + k;            \
          r[i] = words;                                                                                    \
        }                                                                                                  \
        rk_transpose16(r);                                                                                    \
        uint32_t *out = block + TRAIN_UNIT * d;                                                            \
        RK_UNROLL                                                                                          \
        for (int i = 0; i < 16; i++)                                                                       \
          if (i < count) _mm512_store_si512(out + TRAIN_UNIT * i, r[i]);                                   \
      }                                                                                                    \
    }                                                                                                      \
  }
PACK_ROWS(pack_rows, RK_AVX512, 0, ((void)high, _mm512_castps_si512(_mm512_maskz_loadu_ps(low, row))))
PACK_ROWS(pack_rows_narrow, RK_AVX512_BF16, 1,
          narrowed(_mm512_maskz_loadu_ps(low, row), _mm512_maskz_loadu_ps(high, row + 16)))

// Lines are columns of the source.
RK_AVX512 static void pack_columns(const train_operand *x, int from, int depth, uint32_t *block) {
  const float *row = x->source + (size_t)from * x->stride;
  for (int d = 0; d < depth; d++, row += x->stride) {
    uint32_t *out = block + TRAIN_UNIT * d;
    for (int first = 0; first < x->lines; first += TRAIN_UNIT, out += TRAIN_UNIT * depth)
      _mm512_store_ps(out, _mm512_maskz_loadu_ps((__mmask16)low_bits(x->lines - first), row + first));
  }
}

RK_AVX512_BF16 static void pack_columns_narrow(const train_operand *x, int from, int depth, uint32_t *block) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const float *row = x->source + (size_t)from * 2 * x->stride;
  for (int d = 0; d < depth; d++, row += 2 * x->stride) {
    uint32_t *out = block + TRAIN_UNIT * d;
    int is_pair = 2 * (from + d) + 1 < x->k;
    const float *second = is_pair ? row + x->stride : row;
    for (int first = 0; first < x->lines; first += TRAIN_UNIT, out += TRAIN_UNIT * depth) {
      __mmask16 mask = (__mmask16)low_bits(x->lines - first);
      __m512 low = _mm512_maskz_loadu_ps(mask, row + first);
      __m512 high = _mm512_maskz_loadu_ps(is_pair ? mask : 0, second + first);
      _mm512_store_si512(out, _mm512_permutexvar_epi16(order, narrowed(low, high)));
    }
  }
}

RK_AVX2 static void avx2_block(const train_operand *x, int from, int depth, uint32_t *block) {
  float *out = (float *)(void *)block;
  if (!x->by_columns) {
    avx2_pack_lines(x->source + from, x->stride, x->lines, depth, depth, out);
    return;
  }
  const float *row = x->source + (size_t)from * x->stride;
  for (int d = 0; d < depth; d++, row += x->stride, out += TRAIN_UNIT)
    for (int first = 0; first < x->lines; first += TRAIN_UNIT) {
      float *unit = out + (size_t)first * (size_t)depth;
      _mm256_storeu_ps(unit, avx2_load_some(row + first, x->lines - first));
      _mm256_storeu_ps(unit + 8, avx2_load_some(row + first + 8, x->lines - first - 8));
    }
}
#endif

void rk_train_pack(const train_operand *x, int from, int depth, uint32_t *block) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    if (x->by_columns) (x->narrow ? pack_columns_narrow : pack_columns)(x, from, depth, block);
    else (x->narrow ? pack_rows_narrow : pack_rows)(x, from, depth, block);
    return;
  }
  if (rk_has_avx2()) {
    avx2_block(x, from, depth, block);
    return;
  }
#endif
  portable_block(x, from, depth, block);
}
