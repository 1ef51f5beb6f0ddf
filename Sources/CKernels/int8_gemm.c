// y = x Wᵀ in int8: weights requantised at load, activations quantised row by row (int8_layout.h).
//
// A group's products are summed exactly in 32 bits, then y += dot · (weight scale · activation scale), in the order
// of k: a row's result is the same whatever rows share the call. Of 18 vector operations in the multiply pipes 16
// are dot products.
//
// Two panels pass 8 rows at a time over a stretch of k that stays in the first-level cache, so that each row's
// share of arithmetic hides an equal share of reading the stretch that follows.
#include "avx2_tile.h"
#include "int8_layout.h"

#if RK_X86
// P panels against M rows, compile-time constants of each instance below. The float sums stand in memory: the
// registers hold the groups' exact sums. Two panels share each broadcast of activations, which otherwise would
// keep the load unit as busy as the products keep theirs.
RK_AVX512 static inline __attribute__((always_inline)) void tile(int P, int M, const int8_stretch *t) {
  const int width = RK_INT8_GROUP / 4;
  const uint8_t *panel = t->panel, *acts = t->acts, *next0 = t->next[0], *next1 = t->next[1];
  for (int from = 0; from < t->k; from += RK_INT8_GROUP) {
    int quads = padded(group_width(t->k, from)) / 4;
    const int32_t *a = (const int32_t *)(const void *)acts, *tail = a + width * M;
    const uint8_t *w = panel + 64;
    __m512i acc[2][8];
    RK_UNROLL
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++) acc[p][m] = _mm512_set1_epi32(tail[M + m]);
    for (int i = 0; i < quads; i++, w += 64, a++, next0 += t->fetch, next1 += t->fetch) {
      __m512i codes[2];
      RK_UNROLL
      for (int p = 0; p < P; p++) codes[p] = _mm512_load_si512(w + (size_t)p * t->panel_bytes);
      _mm_prefetch((const char *)next0, _MM_HINT_T0);
      if (P == 2) _mm_prefetch((const char *)next1, _MM_HINT_T0);
      RK_UNROLL
      for (int m = 0; m < M; m++) {
        __m512i x = _mm512_set1_epi32(a[width * m]);
        for (int p = 0; p < P; p++) acc[p][m] = _mm512_dpbusd_epi32(acc[p][m], codes[p], x);
      }
    }
    RK_UNROLL
    for (int p = 0; p < P; p++) {
      __m512 scale = _mm512_load_ps(panel + (size_t)p * t->panel_bytes);
      RK_UNROLL
      for (int m = 0; m < M; m++) {
        float *at = t->sums + 32 * m + 16 * p;
        __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(((const float *)(const void *)tail)[m]));
        _mm512_store_ps(at, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[p][m]), both, _mm512_load_ps(at)));
      }
    }
    acts = (const uint8_t *)(tail + 2 * M);
    panel = w;
  }
}

// One panel against one row, which alone would wait for its own sums: it takes the quads in four strands.
RK_AVX512 static void one_row(const int8_stretch *t) {
  const uint8_t *panel = t->panel, *acts = t->acts;
  __m512 sum = _mm512_load_ps(t->sums);
  for (int from = 0; from < t->k; from += RK_INT8_GROUP) {
    int quads = padded(group_width(t->k, from)) / 4, i = 0;
    const int32_t *a = (const int32_t *)(const void *)acts, *tail = a + RK_INT8_GROUP / 4;
    const uint8_t *w = panel + 64;
    __m512i acc[4] = {_mm512_set1_epi32(tail[1])};
    for (int s = 1; s < 4; s++) acc[s] = _mm512_setzero_si512();
    for (; i + 4 <= quads; i += 4, w += 256, a += 4) {
      RK_UNROLL
      for (int s = 0; s < 4; s++) {
        _mm_prefetch((const char *)w + 3072 + 64 * s, _MM_HINT_T0);
        acc[s] = _mm512_dpbusd_epi32(acc[s], _mm512_load_si512(w + 64 * s), _mm512_set1_epi32(a[s]));
      }
    }
    for (; i < quads; i++, w += 64, a++)
      acc[0] = _mm512_dpbusd_epi32(acc[0], _mm512_load_si512(w), _mm512_set1_epi32(*a));
    acc[0] = _mm512_add_epi32(_mm512_add_epi32(acc[0], acc[1]), _mm512_add_epi32(acc[2], acc[3]));
    __m512 both = _mm512_mul_ps(_mm512_load_ps(panel), _mm512_set1_ps(((const float *)(const void *)tail)[0]));
    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[0]), both, sum);
    acts = (const uint8_t *)(tail + 2);
    panel = w;
  }
  _mm512_store_ps(t->sums, sum);
}

#define TILE(P, M) \
  RK_AVX512 static void tile_##P##_##M(const int8_stretch *t) { tile(P, M, t); }
TILE(1, 2) TILE(1, 4) TILE(1, 8) TILE(2, 2) TILE(2, 4) TILE(2, 8)
#endif

// MARK: Portable twin

static void portable_tile(int P, int M, const int8_stretch *t) {
  for (int p = 0; p < P; p++) {
    const uint8_t *panel = t->panel + (size_t)p * t->panel_bytes, *acts = t->acts;
    for (int from = 0; from < t->k; from += RK_INT8_GROUP) {
      int quads = padded(group_width(t->k, from)) / 4;
      const float *scales = (const float *)(const void *)panel;
      const uint8_t *codes = panel + 64, *tail = acts + RK_INT8_GROUP * M;
      for (int m = 0; m < M; m++) {
        float scale, *sums = t->sums + 32 * m + 16 * p;
        int32_t start;
        memcpy(&scale, tail + 4 * m, 4);
        memcpy(&start, tail + 4 * (M + m), 4);
        for (int n = 0; n < 16; n++) {
          int32_t dot = start;
          for (int i = 0; i < quads; i++)
            for (int j = 0; j < 4; j++)
              dot += codes[i * 64 + n * 4 + j] * (int8_t)acts[m * RK_INT8_GROUP + 4 * i + j];
          sums[n] = fmaf((float)dot, scales[n] * scale, sums[n]);
        }
      }
      panel = codes + 64 * quads;
      acts = tail + 8 * M;
    }
  }
}

// MARK: Entry

static void run_tile(int P, int M, const int8_stretch *t) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    static void (*const tiles[2][3])(const int8_stretch *) = {
        {tile_1_2, tile_1_4, tile_1_8}, {tile_2_2, tile_2_4, tile_2_8}};
    if (M > 1) {
      tiles[P - 1][M == 2 ? 0 : M / 4](t);
      return;
    }
    int8_stretch panel = *t;
    for (int p = 0; p < P; p++, panel.panel += t->panel_bytes, panel.sums += 16) one_row(&panel);
    return;
  }
  if (rk_has_avx2()) {
    rk_int8_tile_avx2(P, M, t);
    return;
  }
#endif
  portable_tile(P, M, t);
}

typedef struct {
  const uint8_t *panel, *acts;
  size_t panel_bytes, row_bytes;
  int panels, rows, k;
} int8_block;

// Rows whose sums are held at once.
enum { SUM_ROWS = 128 };

// Inputs that two panels pass at once: 8 groups or a few more stay in the first-level cache.
static int stretch_width(int k, int rows) {
  int groups = group_count(k), count = rows <= 8 || groups < 16 ? 1 : groups / 8;
  return (groups + count - 1) / count * RK_INT8_GROUP;
}

// sums[r][16 p + i] of one or two panels and at most SUM_ROWS rows. Each row's sums run over k in order.
static void run_block(const int8_block *b, float *sums) {
  memset(sums, 0, sizeof(float) * 32 * (size_t)b->rows);
  int stretch = stretch_width(b->k, b->rows), tiles = b->rows < 64 ? (b->rows + 7) / 8 : 8;
  int8_stretch t = {.panel = b->panel, .panel_bytes = b->panel_bytes};
  for (int from = 0; from < b->k; from += stretch, t.panel += rk_int8_panel_bytes(t.k)) {
    t.k = b->k - from < stretch ? b->k - from : stretch;
    // After the last stretch the next panels begin.
    size_t ahead = tiles == 1 ? 2048 : from + t.k < b->k ? rk_int8_panel_bytes(t.k)
                                     : rk_int8_panel_bytes(t.k) + (size_t)(b->panels - 1) * b->panel_bytes;
    size_t share = tiles == 1 ? 0 : rk_int8_panel_bytes(t.k) / (size_t)tiles;
    const uint8_t *next = t.panel + ahead;
    t.fetch = (size_t)(72 / tiles);
    for (int r = 0, M; r < b->rows; r += M, next += share) {
      M = tile_rows(b->rows - r);
      t.acts = b->acts + (size_t)r * b->row_bytes + (size_t)(from / RK_INT8_GROUP * (RK_INT8_GROUP + 8) * M);
      t.sums = sums + 32 * r;
      t.next[0] = next;
      t.next[1] = next + b->panel_bytes;
      run_tile(b->panels, M, &t);
      if (r >= 56) t.fetch = 0;
    }
  }
}

// MARK: Results

typedef struct {
  const float *sums, *more; // [rows][32]; more may be null
  const float *bias;        // may be null
  int rows, columns;
} finished_block;

static void store_portable(const finished_block *b, float *y, size_t stride) {
  for (int m = 0; m < b->rows; m++)
    for (int i = 0; i < b->columns; i++) {
      float sum = b->sums[32 * m + i];
      if (b->more) sum += b->more[32 * m + i];
      y[(size_t)m * stride + (size_t)i] = b->bias ? sum + b->bias[i] : sum;
    }
}

#if RK_X86
RK_AVX2 static void store_avx2(const finished_block *b, float *y, size_t stride) {
  for (int from = 0; from < b->columns; from += 8) {
    int left = b->columns - from;
    __m256 bias = b->bias ? avx2_load_some(b->bias + from, left) : _mm256_setzero_ps();
    for (int m = 0; m < b->rows; m++) {
      __m256 sum = _mm256_load_ps(b->sums + 32 * m + from);
      if (b->more) sum = _mm256_add_ps(sum, _mm256_load_ps(b->more + 32 * m + from));
      avx2_store_some(y + (size_t)m * stride + from, left, _mm256_add_ps(sum, bias));
    }
  }
}

RK_AVX512 static void store_avx512(const finished_block *b, float *y, size_t stride) {
  for (int from = 0; from < b->columns; from += 16) {
    int left = b->columns - from;
    __mmask16 mask = left < 16 ? (__mmask16)((1u << left) - 1) : 0xffff;
    __m512 bias = b->bias ? _mm512_maskz_loadu_ps(mask, b->bias + from) : _mm512_setzero_ps();
    for (int m = 0; m < b->rows; m++) {
      __m512 sum = _mm512_load_ps(b->sums + 32 * m + from);
      if (b->more) sum = _mm512_add_ps(sum, _mm512_load_ps(b->more + 32 * m + from));
      if (b->bias) sum = _mm512_add_ps(sum, bias);
      _mm512_mask_storeu_ps(y + (size_t)m * stride + from, mask, sum);
    }
  }
}
#endif

static void store(const finished_block *b, float *y, size_t stride) {
#if RK_X86
  if (rk_has_avx512_vnni()) {
    store_avx512(b, y, stride);
    return;
  }
  if (rk_has_avx2()) {
    store_avx2(b, y, stride);
    return;
  }
#endif
  store_portable(b, y, stride);
}

void rk_int8_gemm(const uint8_t *panels, int panel_begin, int panel_end, int n, int k, const uint8_t *acts,
                  const uint8_t *rest, int rows, const float *bias, float *y, size_t y_stride) {
  int8_block b = {.panel_bytes = rk_int8_panel_bytes(k), .row_bytes = rk_int8_row_bytes(k), .k = k};
  _Alignas(64) float sums[SUM_ROWS * 32], more[SUM_ROWS * 32];
  for (int begin = 0; begin < rows; begin += SUM_ROWS) {
    b.rows = rows - begin < SUM_ROWS ? rows - begin : SUM_ROWS;
    for (int p = panel_begin; p < panel_end; p += b.panels) {
      b.panels = panel_end - p < 2 ? 1 : 2;
      b.panel = panels + (size_t)p * b.panel_bytes;
      b.acts = acts + (size_t)begin * b.row_bytes;
      run_block(&b, sums);
      if (rest) {
        b.acts = rest + (size_t)begin * b.row_bytes;
        run_block(&b, more);
      }
      finished_block done = {
          .sums = sums, .more = rest ? more : NULL, .bias = bias ? bias + 16 * p : NULL, .rows = b.rows,
          .columns = n - 16 * p < 16 * b.panels ? n - 16 * p : 16 * b.panels};
      store(&done, y + (size_t)begin * y_stride + 16 * p, y_stride);
    }
  }
}
