// Chunks of attention for R rows, included once for plain elements (f32, f16: RK_PAIRED 0) and once for pairs of
// bfloat16 (RK_PAIRED 1). The includer defines RK_FN(name), RK_TARGET and RK_PAIRED.
#define RK_BODY RK_TARGET static inline __attribute__((always_inline))

#if RK_PAIRED
RK_BODY __m512bh RK_FN(words)(const void *p) { return (__m512bh)_mm512_loadu_si512(p); }
RK_BODY __m512bh RK_FN(word)(uint32_t w) { return (__m512bh)_mm512_set1_epi32((int)w); }
#endif

// Scores of R rows for G (1...4) groups of 16 tokens.
RK_BODY void RK_FN(score)(const rk_kv_view *v, const uint8_t *const *keys, int G, row_tile *t, int row, int R,
                          int half) {
  __m512 s[ROWS][4];
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < G; g++) s[r][g] = _mm512_setzero_ps();
#if RK_PAIRED
  (void)half;
  for (int d = 0; d < v->head_dim / 2; d++) {
    __m512bh k[4];
    RK_UNROLL
    for (int g = 0; g < G; g++) k[g] = RK_FN(words)(keys[g] + 64 * (size_t)d);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512bh q = RK_FN(word)(t->pairs[(row + r) * (MAX_DIM / 2) + d]);
      RK_UNROLL
      for (int g = 0; g < G; g++) s[r][g] = _mm512_dpbf16_ps(s[r][g], k[g], q);
    }
  }
#else
  size_t bytes = half ? 32 : 64;
  for (int d = 0; d < v->head_dim; d++) {
    __m512 k[4];
    RK_UNROLL
    for (int g = 0; g < G; g++) k[g] = load16(keys[g] + (size_t)d * bytes, half);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512 q = _mm512_set1_ps(t->query[row + r][d]);
      RK_UNROLL
      for (int g = 0; g < G; g++) s[r][g] = _mm512_fmadd_ps(q, k[g], s[r][g]);
    }
  }
#endif
  __m512 scale = _mm512_set1_ps(v->scale);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < G; g++)
      _mm512_storeu_ps(t->scores + (row + r) * CHUNK + 16 * g, _mm512_mul_ps(s[r][g], scale));
}

// Turns a row's scores into weights; returns what its earlier sums must be multiplied by.
RK_BODY float RK_FN(weigh)(row_tile *t, int r, int start) {
  float *s = t->scores + r * CHUNK;
  __m512 x[4], best = _mm512_set1_ps(-INFINITY);
  for (int g = 0; g < 4; g++) {
    int left = t->limit[r] - start - 16 * g;
    __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    x[g] = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), mask, s + 16 * g);
    best = _mm512_max_ps(best, x[g]);
  }
  float top = _mm512_reduce_max_ps(best);
  top = top > t->max[r] ? top : t->max[r];
  // A row whose tokens all lie before this chunk keeps its sums: correction exp(0) = 1, weights 0.
  float correction = t->max[r] == top ? 1.0f : rk_expf(t->max[r] - top);
  t->max[r] = top;
  __m512 total = _mm512_setzero_ps(), m = _mm512_set1_ps(top);
  for (int g = 0; g < 4; g++) {
    __m512 p = rk_exp16(_mm512_sub_ps(x[g], m));
#if RK_PAIRED
    __m256bh narrow = _mm512_cvtneps_pbh(p);
    _mm256_storeu_si256((__m256i *)(void *)(t->weights + r * (CHUNK / 2) + 8 * g), (__m256i)narrow);
    // The sum is of the weights as they are used.
    p = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)narrow), 16));
#else
    _mm512_storeu_ps(s + 16 * g, p);
#endif
    total = _mm512_add_ps(total, p);
  }
  t->sum[r] = t->sum[r] * correction + _mm512_reduce_add_ps(total);
  return correction;
}

// acc[r] = acc[r] · correction[r] + Σ_j p[r][j] · value[j], 64 columns at a time.
RK_BODY void RK_FN(accumulate)(const rk_kv_view *v, const uint8_t *const *values, int count, const float *correction,
                               row_tile *t, int row, int R, int half) {
  // A step is one token, or two in pairs.
  const int step = RK_PAIRED ? 2 : 1;
  size_t bytes = RK_PAIRED || !half ? 4 : 2, stride = (size_t)v->head_dim * bytes;
  for (int c = 0; c < v->head_dim; c += 64) {
    __mmask16 mask[4];
    for (int i = 0; i < 4; i++) {
      int left = v->head_dim - c - 16 * i;
      mask[i] = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    }
    __m512 a[ROWS][4];
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int i = 0; i < 4; i++)
        a[r][i] = _mm512_mul_ps(
            _mm512_loadu_ps(t->acc + (row + r) * MAX_DIM + c + 16 * i), _mm512_set1_ps(correction[r]));
    for (int j = 0; j < count; j += step) {
      const uint8_t *p = values[j / 16] + (size_t)(j % 16 / step) * stride + (size_t)c * bytes;
#if RK_PAIRED
      __m512bh x0 = (__m512bh)_mm512_maskz_loadu_epi32(mask[0], p);
      __m512bh x1 = (__m512bh)_mm512_maskz_loadu_epi32(mask[1], p + 64);
      __m512bh x2 = (__m512bh)_mm512_maskz_loadu_epi32(mask[2], p + 128);
      __m512bh x3 = (__m512bh)_mm512_maskz_loadu_epi32(mask[3], p + 192);
#else
      __m512 x0 = load_tail(p, half, mask[0]), x1 = load_tail(p + 16 * bytes, half, mask[1]);
      __m512 x2 = load_tail(p + 32 * bytes, half, mask[2]), x3 = load_tail(p + 48 * bytes, half, mask[3]);
#endif
      RK_UNROLL
      for (int r = 0; r < R; r++) {
#if RK_PAIRED
        __m512bh w = RK_FN(word)(t->weights[(row + r) * (CHUNK / 2) + j / 2]);
        a[r][0] = _mm512_dpbf16_ps(a[r][0], x0, w);
        a[r][1] = _mm512_dpbf16_ps(a[r][1], x1, w);
        a[r][2] = _mm512_dpbf16_ps(a[r][2], x2, w);
        a[r][3] = _mm512_dpbf16_ps(a[r][3], x3, w);
#else
        __m512 w = _mm512_set1_ps(t->scores[(row + r) * CHUNK + j]);
        a[r][0] = _mm512_fmadd_ps(w, x0, a[r][0]);
        a[r][1] = _mm512_fmadd_ps(w, x1, a[r][1]);
        a[r][2] = _mm512_fmadd_ps(w, x2, a[r][2]);
        a[r][3] = _mm512_fmadd_ps(w, x3, a[r][3]);
#endif
      }
    }
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int i = 0; i < 4; i++) _mm512_storeu_ps(t->acc + (row + r) * MAX_DIM + c + 16 * i, a[r][i]);
  }
}

RK_BODY void RK_FN(chunks)(const rk_kv_view *v, int kv_head, row_tile *t, int row, int R, int from, int to,
                           int half) {
  size_t bytes = kv_element(v);
  for (int start = from; start < to; start += CHUNK) {
    int count = to - start < CHUNK ? to - start : CHUNK, groups = (count + 15) / 16;
    const uint8_t *keys[4], *values[4];
    for (int g = 0; g < groups; g++) {
      int token = start + 16 * g, slot = token % v->block_size;
      const uint8_t *base = block_keys(v, t->table[row], token, kv_head);
      keys[g] = base + key_index(v, slot, 0) * bytes;
      values[g] = base + value_index(v, slot, 0) * bytes;
    }
    switch (groups) {
      case 1: RK_FN(score)(v, keys, 1, t, row, R, half); break;
      case 2: RK_FN(score)(v, keys, 2, t, row, R, half); break;
      case 3: RK_FN(score)(v, keys, 3, t, row, R, half); break;
      default: RK_FN(score)(v, keys, 4, t, row, R, half); break;
    }
    float correction[ROWS];
    for (int r = 0; r < R; r++) correction[r] = RK_FN(weigh)(t, row + r, start);
    RK_FN(accumulate)(v, values, count, correction, t, row, R, half);
  }
}

#undef RK_BODY
