// The register tile of training products, once for each element type: 8 rows against 1 to 3 units of columns.
// Define RK_FN(name), RK_TARGET and RK_NARROW before including this file.

#define TILE_BODY(V)                                                                                        \
  RK_TARGET static void RK_FN(tile_##V)(const train_tile *t) { RK_FN(tile)(V, t); }

RK_TARGET static inline __attribute__((always_inline)) void RK_FN(tile)(int V, const train_tile *t) {
  __m512 acc[TILE_ROWS][TILE_UNITS];
  RK_UNROLL
  for (int m = 0; m < TILE_ROWS; m++) {
    const float *start = t->start + (size_t)(m < t->rows ? m : 0) * t->start_stride;
    RK_UNROLL
    for (int v = 0; v < V; v++)
      acc[m][v] = _mm512_maskz_loadu_ps(v == V - 1 ? (__mmask16)t->mask : 0xffff, start + 16 * v);
    // The result's lines are on their way while the products run.
    const char *line = (const char *)(t->c + (size_t)(m < t->rows ? m : 0) * t->c_stride);
    RK_UNROLL
    for (int v = 0; v < V; v++) __builtin_prefetch(line + 64 * v, 1, 3);
  }
  const uint32_t *a = t->a;
  const uint32_t *b = t->b;
  const size_t unit = (size_t)t->depth * TRAIN_UNIT;
  for (int d = 0; d < t->depth; d++, a += TRAIN_UNIT, b += TRAIN_UNIT) {
    __m512i columns[TILE_UNITS];
    RK_UNROLL
    for (int v = 0; v < V; v++) columns[v] = _mm512_load_si512(b + v * unit);
    RK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
      __m512i row = _mm512_set1_epi32((int)a[m]);
      RK_UNROLL
      for (int v = 0; v < V; v++) {
#if RK_NARROW
        acc[m][v] = _mm512_dpbf16_ps(acc[m][v], (__m512bh)row, (__m512bh)columns[v]);
#else
        acc[m][v] = _mm512_fmadd_ps(_mm512_castsi512_ps(row), _mm512_castsi512_ps(columns[v]), acc[m][v]);
#endif
      }
    }
  }
  RK_UNROLL
  for (int m = 0; m < TILE_ROWS; m++)
    if (m < t->rows) {
      float *c = t->c + (size_t)m * t->c_stride;
      RK_UNROLL
      for (int v = 0; v < V; v++)
        _mm512_mask_storeu_ps(c + 16 * v, v == V - 1 ? (__mmask16)t->mask : 0xffff, acc[m][v]);
    }
}

TILE_BODY(1)
TILE_BODY(2)
TILE_BODY(3)

#undef TILE_BODY
