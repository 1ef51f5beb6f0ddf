// y = x Wᵀ in int8: weights requantised at load, activations quantised row by row.
//
// Both sides carry one scale for each RK_INT8_GROUP inputs. A panel is 16 output rows; its unit of a group is
//   scale f32[16], then codes + 128: for each four k, 64 bytes, byte n·4+j holding row n, k = 4i+j.
// The activations of a tile of M rows lie group by group as
//   int8 codes [M][RK_INT8_GROUP], scale f32[M], start i32[M],
// where start = −128 · Σ codes undoes the offset of the weights. A group's products are summed exactly in 32 bits,
// then y += dot · (weight scale · activation scale), in the order of k: a row's result is the same whatever rows
// share the call. 24 of 27 vector operations of a full group are dot products.
#include "internal.h"

static inline int group_width(int k, int from) { return k - from < RK_INT8_GROUP ? k - from : RK_INT8_GROUP; }
static inline int padded(int k) { return (k + 3) / 4 * 4; }
static inline int group_count(int k) { return (k + RK_INT8_GROUP - 1) / RK_INT8_GROUP; }

size_t rk_int8_panel_bytes(int k) { return (size_t)padded(k) * 16 + (size_t)group_count(k) * 64; }

size_t rk_int8_row_bytes(int k) { return (size_t)group_count(k) * (RK_INT8_GROUP + 8); }

// MARK: Quantisation

static float quantize_portable(const float *x, int count, int8_t *codes, int32_t *sum) {
  float amax = 0;
  for (int i = 0; i < count; i++) amax = fmaxf(amax, fabsf(x[i]));
  float inverse = amax > 0 ? 127.0f / amax : 0;
  *sum = 0;
  for (int i = 0; i < count; i++) {
    codes[i] = (int8_t)nearbyintf(x[i] * inverse);
    *sum += codes[i];
  }
  return amax / 127.0f;
}

#if RK_X86
RK_AVX512 static float quantize_avx512(const float *x, int count, int8_t *codes, int32_t *sum) {
  __m512 v[RK_INT8_GROUP / 16], most = _mm512_setzero_ps();
  RK_UNROLL
  for (int i = 0; i < RK_INT8_GROUP / 16; i++) {
    int left = count - 16 * i;
    __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    v[i] = _mm512_maskz_loadu_ps(mask, x + 16 * i);
    most = _mm512_max_ps(most, _mm512_abs_ps(v[i]));
  }
  float amax = _mm512_reduce_max_ps(most);
  __m512 inverse = _mm512_set1_ps(amax > 0 ? 127.0f / amax : 0);
  __m512i total = _mm512_setzero_si512();
  RK_UNROLL
  for (int i = 0; i < RK_INT8_GROUP / 16; i++) {
    __m512i code = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
    total = _mm512_add_epi32(total, code);
    _mm_storeu_si128((__m128i *)(codes + 16 * i), _mm512_cvtepi32_epi8(code));
  }
  *sum = _mm512_reduce_add_epi32(total);
  return amax / 127.0f;
}
#endif

// `codes` has room for a whole group. Returns the scale.
static float quantize(const float *x, int count, int8_t *codes, int32_t *sum) {
#if RK_X86
  if (rk_has_avx512_vnni()) return quantize_avx512(x, count, codes, sum);
#endif
  return quantize_portable(x, count, codes, sum);
}

void rk_int8_pack(const float *source, size_t row_stride, int rows, int k, uint8_t *panel) {
  int8_t codes[RK_INT8_GROUP];
  int32_t sum;
  for (int from = 0; from < k; from += RK_INT8_GROUP) {
    int width = group_width(k, from), quads = padded(width) / 4;
    float *scales = (float *)(void *)panel;
    uint8_t *out = panel + 64;
    memset(scales, 0, 64);
    memset(out, 128, (size_t)quads * 64);
    for (int n = 0; n < rows; n++) {
      scales[n] = quantize(source + (size_t)n * row_stride + from, width, codes, &sum);
      for (int i = 0; i < width; i++) out[(i / 4) * 64 + n * 4 + i % 4] = (uint8_t)((int)codes[i] + 128);
    }
    panel = out + quads * 64;
  }
}

// Rows of the tile that begins where `left` rows are left.
static int tile_rows(int left) { return left >= 16 ? 16 : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1; }

// Writes one row's group at place m of a tile of M and returns its scale.
static float store_group(const float *x, int width, int m, int M, uint8_t *group) {
  int8_t *codes = (int8_t *)group + m * RK_INT8_GROUP;
  int32_t sum;
  float scale = quantize(x, width, codes, &sum);
  if (width < RK_INT8_GROUP) memset(codes + width, 0, (size_t)(RK_INT8_GROUP - width));
  int32_t start = -128 * sum;
  memcpy(group + M * RK_INT8_GROUP + 4 * m, &scale, 4);
  memcpy(group + M * (RK_INT8_GROUP + 4) + 4 * m, &start, 4);
  return scale;
}

// What rounding to `codes` left of x.
static void subtract_portable(const float *x, const int8_t *codes, float scale, int width, float *left) {
  for (int i = 0; i < width; i++) left[i] = fmaf(-scale, (float)codes[i], x[i]);
}

#if RK_X86
RK_AVX512 static void subtract_avx512(const float *x, const int8_t *codes, float scale, int width, float *left) {
  for (int i = 0; i < width; i++) left[i] = fmaf(-scale, (float)codes[i], x[i]);
}
#endif

static void subtract(const float *x, const int8_t *codes, float scale, int width, float *left) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    subtract_avx512(x, codes, scale, width, left);
    return;
  }
#endif
  subtract_portable(x, codes, scale, width, left);
}

void rk_int8_quantize(const float *x, int k, int row, int rows, uint8_t *acts, uint8_t *rest) {
  int first = 0;
  while (row >= first + tile_rows(rows - first)) first += tile_rows(rows - first);
  int M = tile_rows(rows - first), m = row - first;
  size_t at = (size_t)first * rk_int8_row_bytes(k);
  float left[RK_INT8_GROUP];
  for (int from = 0; from < k; from += RK_INT8_GROUP) {
    int width = group_width(k, from);
    float scale = store_group(x + from, width, m, M, acts + at);
    if (rest) {
      subtract(x + from, (const int8_t *)acts + at + m * RK_INT8_GROUP, scale, width, left);
      store_group(left, width, m, M, rest + at);
    }
    at += (size_t)(RK_INT8_GROUP + 8) * (size_t)M;
  }
}

// MARK: AVX-512

#if RK_X86
// One panel against M rows; M is a compile-time constant of each instance below. The float sums stand in memory:
// the registers hold the groups' exact sums.
RK_AVX512 static inline __attribute__((always_inline)) void tile(int M, const uint8_t *panel, const uint8_t *acts,
                                                                 int k, float *sums) {
  RK_UNROLL
  for (int m = 0; m < M; m++) _mm512_store_ps(sums + 16 * m, _mm512_setzero_ps());
  for (int from = 0; from < k; from += RK_INT8_GROUP) {
    int quads = padded(group_width(k, from)) / 4;
    const int width = RK_INT8_GROUP / 4;
    const int32_t *a = (const int32_t *)(const void *)acts, *tail = a + width * M;
    const uint8_t *w = panel + 64;
    // One row alone would wait for its own sums: it takes the quads in four strands.
    __m512i acc[16], strands[3];
    RK_UNROLL
    for (int m = 0; m < M; m++) acc[m] = _mm512_set1_epi32(tail[M + m]);
    int i = 0;
    if (M == 1) {
      for (int s = 0; s < 3; s++) strands[s] = _mm512_setzero_si512();
      for (; i + 4 <= quads; i += 4, w += 256, a += 4) {
        _mm_prefetch((const char *)w + 3072, _MM_HINT_T0);
        _mm_prefetch((const char *)w + 3136, _MM_HINT_T0);
        _mm_prefetch((const char *)w + 3200, _MM_HINT_T0);
        _mm_prefetch((const char *)w + 3264, _MM_HINT_T0);
        acc[0] = _mm512_dpbusd_epi32(acc[0], _mm512_load_si512(w), _mm512_set1_epi32(a[0]));
        RK_UNROLL
        for (int s = 0; s < 3; s++)
          strands[s] = _mm512_dpbusd_epi32(strands[s], _mm512_load_si512(w + 64 * s + 64), _mm512_set1_epi32(a[s + 1]));
      }
      acc[0] = _mm512_add_epi32(_mm512_add_epi32(acc[0], strands[0]), _mm512_add_epi32(strands[1], strands[2]));
    }
    for (; i < quads; i++, w += 64, a++) {
      __m512i codes = _mm512_load_si512(w);
      _mm_prefetch((const char *)w + 2048, _MM_HINT_T0);
      RK_UNROLL
      for (int m = 0; m < M; m++) acc[m] = _mm512_dpbusd_epi32(acc[m], codes, _mm512_set1_epi32(a[width * m]));
    }
    __m512 scale = _mm512_load_ps(panel);
    RK_UNROLL
    for (int m = 0; m < M; m++) {
      __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(((const float *)(const void *)tail)[m]));
      __m512 sum = _mm512_load_ps(sums + 16 * m);
      _mm512_store_ps(sums + 16 * m, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[m]), both, sum));
    }
    acts = (const uint8_t *)(tail + 2 * M);
    panel = w;
  }
}

#define TILE(M)                                                                                          \
  RK_AVX512 static void tile_##M(const uint8_t *panel, const uint8_t *acts, int k, float *sums) {        \
    tile(M, panel, acts, k, sums);                                                                       \
  }
TILE(1) TILE(2) TILE(4) TILE(8) TILE(16)
typedef void (*tile_function)(const uint8_t *, const uint8_t *, int, float *);
static const tile_function tiles[5] = {tile_1, tile_2, tile_4, tile_8, tile_16};
#endif

// MARK: Portable twin

static void portable_tile(int M, const uint8_t *panel, const uint8_t *acts, int k, float *sums) {
  memset(sums, 0, sizeof(float) * 16 * (size_t)M);
  for (int from = 0; from < k; from += RK_INT8_GROUP) {
    int quads = padded(group_width(k, from)) / 4;
    const float *scales = (const float *)(const void *)panel;
    const uint8_t *codes = panel + 64, *tail = acts + RK_INT8_GROUP * M;
    for (int m = 0; m < M; m++) {
      float scale;
      int32_t start;
      memcpy(&scale, tail + 4 * m, 4);
      memcpy(&start, tail + 4 * (M + m), 4);
      for (int n = 0; n < 16; n++) {
        int32_t dot = start;
        for (int i = 0; i < quads; i++)
          for (int j = 0; j < 4; j++)
            dot += codes[i * 64 + n * 4 + j] * (int8_t)acts[m * RK_INT8_GROUP + 4 * i + j];
        sums[16 * m + n] = fmaf((float)dot, scales[n] * scale, sums[16 * m + n]);
      }
    }
    panel = codes + 64 * quads;
    acts = tail + 8 * M;
  }
}

// MARK: Entry

static void run_tile(int M, const uint8_t *panel, const uint8_t *acts, int k, float *sums) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    tiles[M == 16 ? 4 : M == 8 ? 3 : M / 2](panel, acts, k, sums);
    return;
  }
#endif
  portable_tile(M, panel, acts, k, sums);
}

typedef struct {
  const float *sums, *more; // [M][16]; more may be null
  const float *bias;        // may be null
  int M, columns;
} finished_tile;

static void store_portable(const finished_tile *t, float *y, size_t stride) {
  for (int m = 0; m < t->M; m++)
    for (int i = 0; i < t->columns; i++) {
      float sum = t->sums[16 * m + i];
      if (t->more) sum += t->more[16 * m + i];
      y[(size_t)m * stride + (size_t)i] = t->bias ? sum + t->bias[i] : sum;
    }
}

#if RK_X86
RK_AVX512 static void store_avx512(const finished_tile *t, float *y, size_t stride) {
  __mmask16 mask = (__mmask16)((1u << t->columns) - 1);
  __m512 bias = t->bias ? _mm512_maskz_loadu_ps(mask, t->bias) : _mm512_setzero_ps();
  for (int m = 0; m < t->M; m++) {
    __m512 sum = _mm512_load_ps(t->sums + 16 * m);
    if (t->more) sum = _mm512_add_ps(sum, _mm512_load_ps(t->more + 16 * m));
    if (t->bias) sum = _mm512_add_ps(sum, bias);
    _mm512_mask_storeu_ps(y + (size_t)m * stride, mask, sum);
  }
}
#endif

static void store(const finished_tile *t, float *y, size_t stride) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    store_avx512(t, y, stride);
    return;
  }
#endif
  store_portable(t, y, stride);
}

void rk_int8_gemm(const uint8_t *panels, int panel_begin, int panel_end, int n, int k, const uint8_t *acts,
                  const uint8_t *rest, int rows, const float *bias, float *y, size_t y_stride) {
  size_t panel_bytes = rk_int8_panel_bytes(k), row_bytes = rk_int8_row_bytes(k);
  // Activations of a chunk of rows stay in the second-level cache while the panels pass by.
  int chunk = 16 * 24576 / (k > 24576 ? 24576 : k);
  chunk = chunk < 16 ? 16 : chunk / 16 * 16;
  _Alignas(64) float sums[256], more[256];
  for (int begin = 0; begin < rows; begin += chunk) {
    int end = begin + chunk < rows ? begin + chunk : rows;
    for (int p = panel_begin; p < panel_end; p++) {
      const uint8_t *panel = panels + (size_t)p * panel_bytes;
      finished_tile done = {
          .sums = sums, .more = rest ? more : NULL, .bias = bias ? bias + 16 * p : NULL,
          .columns = n - 16 * p < 16 ? n - 16 * p : 16};
      for (int r = begin; r < end; r += done.M) {
        done.M = tile_rows(end - r);
        run_tile(done.M, panel, acts + (size_t)r * row_bytes, k, sums);
        if (rest) run_tile(done.M, panel, rest + (size_t)r * row_bytes, k, more);
        store(&done, y + (size_t)r * y_stride + 16 * p, y_stride);
      }
    }
  }
}
