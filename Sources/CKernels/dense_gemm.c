// y = x Wᵀ + bias on weights that are packed once, in Float32 or bfloat16, for processors without AVX-512 (elsewhere
// oneDNN multiplies). A panel is 16 output rows side by side: word d of a panel is 16 numbers, or where weights are
// bfloat16 16 pairs of numbers d = 2 i and 2 i + 1. Rows of x are read as they lie.
//
// An element starts with its bias and takes its terms in the order of k, whatever rows and panels share the call.
// Many rows pass a panel of DEPTH terms after the other, which stays in the first-level cache; between two its sum
// lies in the result. Few rows are bound by memory and take several panels at once.
#include "avx2_tile.h"

enum {
  PANEL = 16,
  TILE_ROWS = 6,
  DEPTH = 256,
  // Rows that stay in the second-level cache while the panels pass by.
  CHUNK_ROWS = 96,
};

size_t rk_dense_panel_bytes(int k, int narrow) { return (size_t)k * PANEL * (narrow ? 2 : 4); }

static size_t term_bytes(int narrow) { return PANEL * (narrow ? 2 : 4); }

void rk_dense_pack(const float *source, size_t row_stride, int rows, int k, int narrow, void *panel) {
  float *wide = panel;
  uint16_t *brain = panel;
  memset(panel, 0, rk_dense_panel_bytes(k, narrow));
  for (int d = 0; d < k; d++)
    for (int n = 0; n < rows; n++) {
      float value = source[(size_t)n * row_stride + (size_t)d];
      if (narrow) brain[d / 2 * 2 * PANEL + 2 * n + d % 2] = rk_float_to_bf16(value);
      else wide[d * PANEL + n] = value;
    }
}

static int smaller(int a, int b) { return a < b ? a : b; }

// MARK: Portable twin

static void portable_row(const rk_dense_product *p, int panel, int row) {
  const uint8_t *weights = p->panels + (size_t)panel * rk_dense_panel_bytes(p->k, p->narrow);
  const float *x = p->x + (size_t)row * p->x_stride, *wide = (const float *)(const void *)weights;
  const uint32_t *pairs = (const uint32_t *)(const void *)weights;
  float *y = p->y + (size_t)row * p->y_stride + panel * PANEL, sums[PANEL];
  int columns = smaller(p->n - panel * PANEL, PANEL);
  for (int i = 0; i < PANEL; i++) sums[i] = p->bias && i < columns ? p->bias[panel * PANEL + i] : 0;
  if (p->narrow) {
    for (int d = 0; d < p->k; d += 2, pairs += PANEL) {
      for (int i = 0; i < PANEL; i++) sums[i] += x[d] * rk_bf16_to_float((uint16_t)pairs[i]);
      for (int i = 0; i < PANEL; i++) sums[i] += x[d + 1] * rk_bf16_to_float((uint16_t)(pairs[i] >> 16));
    }
  } else {
    for (int d = 0; d < p->k; d++, wide += PANEL)
      for (int i = 0; i < PANEL; i++) sums[i] += x[d] * wide[i];
  }
  for (int i = 0; i < columns; i++) y[i] = sums[i];
}

// MARK: AVX2

#if RK_X86
// R rows from `row` on against G panels from `panel` on, terms from ..< from + depth.
RK_AVX2_BODY void tile(int R, int G, int narrow, const rk_dense_product *p, int panel, int row, int from, int depth) {
  const tile_kind kind = narrow ? TILE_PAIRS : TILE_F32;
  const size_t panel_bytes = rk_dense_panel_bytes(p->k, narrow);
  const uint8_t *weights[4];
  float *y = p->y + (size_t)row * p->y_stride + panel * PANEL;
  const float *bias = p->bias ? p->bias + panel * PANEL : NULL;
  const int columns = p->n - panel * PANEL;
  __m256 s[6][8];
  RK_UNROLL
  for (int g = 0; g < G; g++)
    weights[g] = p->panels + (size_t)(panel + g) * panel_bytes + (size_t)from * term_bytes(narrow);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int i = 0; i < 2 * G; i++) {
      const float *start = from > 0 ? y + (size_t)r * p->y_stride : bias;
      s[r][i] = start ? avx2_load_some(start + 8 * i, columns - 8 * i) : _mm256_setzero_ps();
    }
  avx2_multiply(R, G, kind, p->x + (size_t)row * p->x_stride + from, 1, p->x_stride, weights,
                term_bytes(narrow) * (narrow ? 2 : 1), depth, s);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int i = 0; i < 2 * G; i++) avx2_store_some(y + (size_t)r * p->y_stride + 8 * i, columns - 8 * i, s[r][i]);
}

typedef void (*dense_tile)(const rk_dense_product *p, int panel, int row, int from, int depth);

#define TILE(NAME, NARROW, R, G)                                                                                    \
  RK_AVX2 static void NAME##_##R##_##G(const rk_dense_product *p, int panel, int row, int from, int depth) { \
    tile(R, G, NARROW, p, panel, row, from, depth);                                                                 \
  }
#define TILES(NAME, NARROW)                                                                         \
  TILE(NAME, NARROW, 1, 1) TILE(NAME, NARROW, 2, 1) TILE(NAME, NARROW, 3, 1) TILE(NAME, NARROW, 4, 1) \
  TILE(NAME, NARROW, 5, 1) TILE(NAME, NARROW, 6, 1)                                                   \
  TILE(NAME, NARROW, 1, 4) TILE(NAME, NARROW, 2, 2) TILE(NAME, NARROW, 3, 2)
TILES(wide, 0)
TILES(brain, 1)

#define ONE(NAME) {NAME##_1_1, NAME##_2_1, NAME##_3_1, NAME##_4_1, NAME##_5_1, NAME##_6_1}
static const dense_tile one_panel[2][TILE_ROWS] = {ONE(wide), ONE(brain)};
static const dense_tile few_rows[2][3] = {{wide_1_4, wide_2_2, wide_3_2}, {brain_1_4, brain_2_2, brain_3_2}};

static void run_few(const rk_dense_product *p, int begin, int end) {
  const int together = p->rows == 1 ? 4 : 2;
  int panel = begin;
  for (; panel + together <= end; panel += together) few_rows[p->narrow][p->rows - 1](p, panel, 0, 0, p->k);
  for (; panel < end; panel++) one_panel[p->narrow][p->rows - 1](p, panel, 0, 0, p->k);
}

static void run_many(const rk_dense_product *p, int begin, int end) {
  for (int first = 0; first < p->rows; first += CHUNK_ROWS)
    for (int panel = begin; panel < end; panel++)
      for (int from = 0; from < p->k; from += DEPTH) {
        int last = smaller(p->rows, first + CHUNK_ROWS), depth = smaller(p->k - from, DEPTH);
        for (int row = first, count; row < last; row += count) {
          // Tiles of like sizes: one or two rows alone would wait for their own sums.
          int tiles = (last - row + TILE_ROWS - 1) / TILE_ROWS;
          count = (last - row + tiles - 1) / tiles;
          one_panel[p->narrow][count - 1](p, panel, row, from, depth);
        }
      }
}
#endif

void rk_dense_gemm(const rk_dense_product *p, int panel_begin, int panel_end) {
#if RK_X86
  if (rk_has_avx2()) {
    if (p->rows <= 3) run_few(p, panel_begin, panel_end);
    else run_many(p, panel_begin, panel_end);
    return;
  }
#endif
  for (int panel = panel_begin; panel < panel_end; panel++)
    for (int row = 0; row < p->rows; row++) portable_row(p, panel, row);
}
