// Chunks of attention over keys and values in int8 (attention_int8.h) with AVX2: codes are widened to 16 bits as they
// are read, in vectors of even and of odd numbers or tokens, and multiplied by queries of 15 bits and weights of 15
// bits of the chunk's largest. Every sum of codes is exact in 32 bits.
#include "attention_rows.h"
#include "avx2_tile.h"

#if RK_X86
// Four numbers of a row as two words of 16-bit pairs: 0 and 2, 1 and 3.
typedef struct {
  int32_t even, odd;
} quad;

typedef struct {
  quad query[ROWS][MAX_DIM / 4];
  quad weights[ROWS][CHUNK / 4];
  int32_t starts[ROWS][KEY_GROUPS(MAX_DIM)]; // what undoes the 128 added to a key's codes
  float correction[ROWS], unit[ROWS];
} code_rows;

static int32_t pair(int low, int high) { return (int32_t)((uint32_t)(uint16_t)low | (uint32_t)high << 16); }

static void take_queries(const rk_kv_view *v, const row_tile *t, int row, int R, code_rows *x) {
  for (int r = 0; r < R; r++) {
    const int8_t *high = (const int8_t *)(t->pairs + (row + r) * (MAX_DIM / 2)), *low = high + MAX_DIM;
    for (int d = 0; d < v->head_dim; d += 4, high += 4, low += 4) {
      x->query[r][d / 4].even = pair(128 * high[0] + low[0], 128 * high[2] + low[2]);
      x->query[r][d / 4].odd = pair(128 * high[1] + low[1], 128 * high[3] + low[3]);
    }
    for (int g = 0; g < KEY_GROUPS(v->head_dim); g++)
      x->starts[r][g] = 128 * t->offsets[row + r][0][g] + t->offsets[row + r][1][g];
  }
}

// sums[r] += even · the quad's even numbers + odd · its odd ones, of R rows `step` quads apart.
RK_AVX2_BODY void add_quad(int R, __m256i even, __m256i odd, const quad *rows, size_t step, __m256i sums[ROWS]) {
  RK_UNROLL
  for (int r = 0; r < R; r++) {
    const quad *x = rows + (size_t)r * step;
    sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(even, _mm256_set1_epi32(x->even)));
    sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(odd, _mm256_set1_epi32(x->odd)));
  }
}

// Scores of R rows for 8 tokens.
RK_AVX2_BODY void score(const rk_kv_view *v, const uint8_t *keys, const float *scales, const code_rows *x,
                        const float *unit, float *scores, int R) {
  const __m256i low = _mm256_set1_epi16(255);
  __m256 total[ROWS];
  RK_UNROLL
  for (int r = 0; r < R; r++) total[r] = _mm256_setzero_ps();
  for (int from = 0, group = 0; from < v->head_dim; from += RK_KV_GROUP, group++) {
    int to = from + RK_KV_GROUP < v->head_dim ? from + RK_KV_GROUP : v->head_dim;
    __m256i s[ROWS];
    RK_UNROLL
    for (int r = 0; r < R; r++) s[r] = _mm256_set1_epi32(x->starts[r][group]);
    for (int d = from; d < to; d += 4) {
      __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(keys + 16 * (size_t)d));
      add_quad(R, _mm256_and_si256(k, low), _mm256_srli_epi16(k, 8), &x->query[0][d / 4], MAX_DIM / 4, s);
    }
    __m256 scale = _mm256_loadu_ps(scales + (size_t)group * (size_t)v->block_size);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(unit[r]));
      total[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]), both, total[r]);
    }
  }
  RK_UNROLL
  for (int r = 0; r < R; r++) _mm256_storeu_ps(scores + r * CHUNK, total[r]);
}

// Turns a row's weights p into codes of p · scale of the value; returns their unit.
RK_AVX2_BODY float weight_codes(const float *p, int left, const float *const *scales, quad *codes) {
  __m256 x[CHUNK / 8], most = _mm256_setzero_ps();
  RK_UNROLL
  for (int i = 0; i < CHUNK / 8; i++) {
    __m256 scale = avx2_load_some(scales[i / 2] + i % 2 * 8, left - 8 * i);
    x[i] = left > 8 * i ? _mm256_mul_ps(_mm256_loadu_ps(p + 8 * i), scale) : _mm256_setzero_ps();
    most = _mm256_max_ps(most, x[i]);
  }
  float top = avx2_largest(most);
  // Below this the inverse would overflow, and no weight counts.
  __m256 inverse = _mm256_set1_ps(top > 1e-33f ? 32767.0f / top : 0);
  const __m256i order = _mm256_setr_epi8(0, 1, 8, 9, 4, 5, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 8, 9, 4, 5, 12,
                                         13, -1, -1, -1, -1, -1, -1, -1, -1);
  RK_UNROLL
  for (int i = 0; i < CHUNK / 8; i++) {
    __m256i code = _mm256_shuffle_epi8(_mm256_cvtps_epi32(_mm256_mul_ps(x[i], inverse)), order);
    code = _mm256_permute4x64_epi64(code, 0x08);
    _mm_storeu_si128((__m128i *)(void *)(codes + 2 * i), _mm256_castsi256_si128(code));
  }
  return top / 32767.0f;
}

// acc[r] = acc[r] · correction[r] + unit[r] · Σ weights · values, 8 columns at a time.
RK_AVX2_BODY void accumulate(const rk_kv_view *v, const uint8_t *const *values, int count, const code_rows *x,
                             float *acc, int R) {
  const size_t stride = 4 * (size_t)v->head_dim;
  for (int c = 0; c < v->head_dim; c += 8) {
    const __m256i mask = avx2_mask(v->head_dim - c);
    __m256i a[ROWS];
    RK_UNROLL
    for (int r = 0; r < R; r++) a[r] = _mm256_setzero_si256();
    for (int j = 0; j < count; j += 4) {
      const uint8_t *p = values[j / 16] + (size_t)(j % 16 / 4) * stride + 4 * (size_t)c;
      __m256i words = _mm256_maskload_epi32((const int *)(const void *)p, mask);
      __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(words, 8), 8);
      add_quad(R, even, _mm256_srai_epi16(words, 8), &x->weights[0][j / 4], CHUNK / 4, a);
    }
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      float *out = acc + r * MAX_DIM + c;
      __m256 old = _mm256_mul_ps(_mm256_loadu_ps(out), _mm256_set1_ps(x->correction[r]));
      _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(a[r]), _mm256_set1_ps(x->unit[r]), old));
    }
  }
}

RK_AVX2_BODY void chunks(const rk_kv_view *v, int kv_head, row_tile *t, int row, int R, int from, int to) {
  code_rows x;
  take_queries(v, t, row, R, &x);
  for (int start = from; start < to; start += CHUNK) {
    int count = to - start < CHUNK ? to - start : CHUNK, groups = (count + 15) / 16;
    prefetch_next(v, t, row, kv_head, start, to);
    const uint8_t *values[4];
    const float *value_scales[4];
    for (int g = 0; g < 4; g++) {
      int token = start + 16 * (g < groups ? g : 0), slot = token % v->block_size;
      const uint8_t *base = block_keys(v, t->table[row], token, kv_head);
      const uint8_t *keys = base + scale_bytes(v) + key_index(v, slot, 0);
      const float *scales = (const float *)(const void *)base + slot;
      values[g] = base + scale_bytes(v) + value_index(v, slot, 0);
      value_scales[g] = (const float *)(const void *)base + value_scale_index(v, slot);
      if (g >= groups) continue;
      for (int half = 0; half < 16; half += 8)
        score(v, keys + 4 * half, scales + half, &x, t->unit + row, t->scores + row * CHUNK + 16 * g + half, R);
    }
    for (int r = 0; r < R; r++) {
      x.correction[r] = rk_weigh_avx2(t, row + r, start);
      x.unit[r] = weight_codes(t->scores + (row + r) * CHUNK, t->limit[row + r] - start, value_scales, x.weights[r]);
    }
    accumulate(v, values, count, &x, t->acc + row * MAX_DIM, R);
  }
}

#define INSTANCE(R)                                                                                          \
  RK_AVX2 static void codes_##R(const rk_kv_view *v, int kv_head, row_tile *t, int row, int from, int to) { \
    chunks(v, kv_head, t, row, R, from, to);                                                                 \
  }
INSTANCE(1) INSTANCE(2) INSTANCE(3) INSTANCE(4) INSTANCE(5) INSTANCE(6)

const chunk_function rk_attention_codes_avx2[ROWS] = {codes_1, codes_2, codes_3, codes_4, codes_5, codes_6};
#endif
