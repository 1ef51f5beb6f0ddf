// Blocks of the gradient of encoder attention, included once for Float32 (RK_PAIRED 0) and once for pairs of
// bfloat16 (RK_PAIRED 1). The includer defines RK_FN(name), RK_TARGET and RK_PAIRED.
#define RK_BODY RK_TARGET static inline __attribute__((always_inline))

#if RK_PAIRED
#define RK_STEP 2
#else
#define RK_STEP 1
#endif
// Words of a row of slope_rows.
#define RK_SLOPES (BLOCK_KEYS / RK_STEP)

// a · b + c of sixteen words.
RK_BODY __m512 RK_FN(multiply)(__m512i a, __m512i b, __m512 c) {
#if RK_PAIRED
  return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
#else
  return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), c);
#endif
}

// Numbers `column` to `column` + 15 of a row of `dim`; zero beyond its end.
RK_BODY __m512 RK_FN(load)(const float *row, int column, int dim) {
  int left = dim - column;
  __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
  return _mm512_maskz_loadu_ps(mask, row + column);
}

// Rows of words: pairs of a row's numbers, or the numbers. Rows from `valid` to `count` become zero.
RK_BODY void RK_FN(pack_words)(const gradient_head *h, const float *source, size_t stride, int valid, int count,
                               uint32_t *target) {
  for (int i = 0; i < count; i++)
    for (int c = 0; c < h->padded; c += 16) {
      __m512 x = i < valid ? RK_FN(load)(source + (size_t)i * stride, c, h->dim) : _mm512_setzero_ps();
      uint32_t *words = target + (size_t)i * (size_t)h->padded + c / RK_STEP;
#if RK_PAIRED
      _mm256_store_si256((__m256i *)(void *)words, (__m256i)_mm512_cvtneps_pbh(x));
#else
      _mm512_store_ps(words, x);
#endif
    }
}

// Two rows of sixteen as pairs, the first in the lower half of each word.
#if RK_PAIRED
RK_BODY __m512i RK_FN(interleave)(__m512i both) {
  const __m512i order =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19,
                       3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, both);
}

// [pairs of tokens][padded]; tokens from `valid` to `count` (even) become zero.
RK_BODY void RK_FN(pack_pairs)(const gradient_head *h, const float *source, size_t stride, int valid, int count,
                               uint32_t *target) {
  for (int i = 0; i < count; i += 2)
    for (int c = 0; c < h->padded; c += 16) {
      const float *row = source + (size_t)i * stride;
      __m512 a = i < valid ? RK_FN(load)(row, c, h->dim) : _mm512_setzero_ps();
      __m512 b = i + 1 < valid ? RK_FN(load)(row + stride, c, h->dim) : _mm512_setzero_ps();
      _mm512_store_si512(target + (size_t)(i / 2) * (size_t)h->padded + c,
                         RK_FN(interleave)((__m512i)_mm512_cvtne2ps_pbh(b, a)));
    }
}
#endif

// Groups of 16 tokens, words across: [tokens / 16][steps][16].
RK_BODY void RK_FN(pack_transposed)(const gradient_head *h, const float *source, size_t stride, uint32_t *target) {
  for (int first = 0; first < h->tokens; first += 16)
    for (int word = 0; word < h->steps; word += 16) {
      __m512i x[16];
      RK_UNROLL
      for (int r = 0; r < 16; r++) {
        const float *row = source + (size_t)(first + r) * stride;
        x[r] = _mm512_setzero_si512();
        if (first + r >= h->length) continue;
#if RK_PAIRED
        x[r] = (__m512i)_mm512_cvtne2ps_pbh(RK_FN(load)(row, 2 * word + 16, h->dim),
                                            RK_FN(load)(row, 2 * word, h->dim));
#else
        x[r] = _mm512_castps_si512(RK_FN(load)(row, word, h->dim));
#endif
      }
      rk_transpose16(x);
      uint32_t *place = target + ((size_t)first / 16 * (size_t)h->steps + (size_t)word) * 16;
      for (int d = 0; d < 16 && word + d < h->steps; d++) _mm512_store_si512(place + 16 * d, x[d]);
    }
}

// 2^x for x to 127; 0 below −126. The polynomial interpolates at Chebyshev's points: relative error 1.1e-7.
RK_BODY __m512 RK_FN(power)(__m512 x) {
  __mmask16 alive = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126.0f), _CMP_GE_OQ);
  __m512 n = _mm512_roundscale_ps(x, 8);
  __m512 f = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(0.0013390864f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0096760319f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0555035711f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2402210749f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6931471880f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0000000755f));
  return _mm512_maskz_scalef_ps(alive, p, n);
}

// Weights and slopes of 4 rows from `row` of the block on, G (1, 2) groups of 16 keys from key `key` of the block
// on. limit[r]: keys of the block, from its first, that the row reads.
RK_BODY void RK_FN(weigh)(const gradient_head *h, int block_key, int key, int G, int row, const int *limit,
                          float factor) {
  __m512 s[4][2], g[4][2];
  RK_UNROLL
  for (int r = 0; r < 4; r++)
    for (int i = 0; i < G; i++) s[r][i] = g[r][i] = _mm512_setzero_ps();
  const size_t place = (size_t)(block_key + key) / 16 * (size_t)h->steps * 16, group = (size_t)h->steps * 16;
  const uint32_t *keys = h->keys + place, *values = h->values + place;
  const uint32_t *query = h->query + row * h->padded, *gradient = h->gradient + row * h->padded;
  for (int d = 0; d < h->steps; d++) {
    RK_UNROLL
    for (int r = 0; r < 4; r++) {
      __m512i q = _mm512_set1_epi32((int)query[r * h->padded + d]);
      __m512i o = _mm512_set1_epi32((int)gradient[r * h->padded + d]);
      RK_UNROLL
      for (int i = 0; i < G; i++) {
        size_t at = (size_t)i * group + 16 * (size_t)d;
        s[r][i] = RK_FN(multiply)(_mm512_load_si512(keys + at), q, s[r][i]);
        g[r][i] = RK_FN(multiply)(_mm512_load_si512(values + at), o, g[r][i]);
      }
    }
  }
  RK_UNROLL
  for (int r = 0; r < 4; r++)
    for (int i = 0; i < G; i++) {
      int left = limit[r] - key - 16 * i;
      __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
      __m512 x = _mm512_fmadd_ps(s[r][i], _mm512_set1_ps(factor), _mm512_set1_ps(h->offset[row + r]));
      s[r][i] = _mm512_maskz_mov_ps(mask, RK_FN(power)(x));
      g[r][i] = _mm512_mul_ps(s[r][i], _mm512_sub_ps(g[r][i], _mm512_set1_ps(h->product[row + r])));
    }
  RK_UNROLL
  for (int r = 0; r < 4; r += RK_STEP)
    for (int i = 0; i < G; i++) {
      size_t at = (size_t)((row + r) / RK_STEP) * BLOCK_KEYS + (size_t)(key + 16 * i);
#if RK_PAIRED
      __m512i p = (__m512i)_mm512_cvtne2ps_pbh(s[r + 1][i], s[r][i]);
      __m512i slope = (__m512i)_mm512_cvtne2ps_pbh(g[r + 1][i], g[r][i]);
      _mm512_store_si512(h->weights + at, RK_FN(interleave)(p));
      _mm512_store_si512(h->slopes + at, RK_FN(interleave)(slope));
      uint32_t *by_row = h->slope_rows + (size_t)(row + r) * RK_SLOPES + (size_t)(key + 16 * i) / 2;
      _mm256_store_si256((__m256i *)(void *)by_row, _mm512_castsi512_si256(slope));
      _mm256_store_si256((__m256i *)(void *)(by_row + RK_SLOPES), _mm512_extracti64x4_epi64(slope, 1));
#else
      _mm512_store_ps(h->weights + at, s[r][i]);
      _mm512_store_ps(h->slopes + at, g[r][i]);
#endif
    }
}

// sums[r] += Σ_k a[k · step + r · row] · b[k], for R rows and V (1...4) vectors of columns.
RK_BODY void RK_FN(add)(const uint32_t *a, size_t step, size_t row, const uint32_t *b, float *sums, int padded,
                        int steps, int V, int R) {
  __m512 x[8][4];
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int i = 0; i < V; i++) x[r][i] = _mm512_load_ps(sums + r * padded + 16 * i);
  for (int k = 0; k < steps; k++) {
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512i w = _mm512_set1_epi32((int)a[(size_t)k * step + (size_t)r * row]);
      RK_UNROLL
      for (int i = 0; i < V; i++)
        x[r][i] = RK_FN(multiply)(_mm512_load_si512(b + (size_t)k * (size_t)padded + 16 * i), w, x[r][i]);
    }
  }
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int i = 0; i < V; i++) _mm512_store_ps(sums + r * padded + 16 * i, x[r][i]);
}

// The same for every column, R 4 or 8.
RK_BODY void RK_FN(add_rows)(const uint32_t *a, size_t step, size_t row, const uint32_t *b, float *sums, int padded,
                             int steps, int R) {
  int c = 0;
  for (; c + 64 <= padded; c += 64)
    for (int r = 0; r < R; r += 4)
      RK_FN(add)(a + (size_t)r * row, step, row, b + c, sums + r * padded + c, padded, steps, 4, 4);
  switch ((padded - c) / 16) {
    case 1: RK_FN(add)(a, step, row, b + c, sums + c, padded, steps, 1, R); break;
    case 2: RK_FN(add)(a, step, row, b + c, sums + c, padded, steps, 2, R); break;
    case 3: RK_FN(add)(a, step, row, b + c, sums + c, padded, steps, 3, R); break;
    default: break;
  }
}

// Adds what a block of `rows` (a multiple of 4) rows from `first` on and `keys` keys from `block_key` on give.
RK_BODY void RK_FN(block)(const gradient_head *h, int first, int rows, int block_key, int keys, int causal,
                          float factor) {
  for (int i = 0; i < rows; i += 4) {
    // Causal: keys that a unit of rows reads; what the products below read is written for all of the unit.
    int end = causal ? first + i / UNIT * UNIT + UNIT - block_key : keys, limit[4];
    if (end > keys) end = keys;
    for (int r = 0; r < 4; r++) {
      int own = first + i + r + 1 - block_key;
      limit[r] = causal && own < keys ? own : keys;
    }
    int key = 0;
    for (; key + 16 < end; key += 32) RK_FN(weigh)(h, block_key, key, 2, i, limit, factor);
    if (key < end) RK_FN(weigh)(h, block_key, key, 1, i, limit, factor);
  }
  for (int key = 0; key < keys; key += UNIT) {
    int start = causal && block_key + key > first ? block_key + key - first : 0;
    if (start >= rows) break;
    size_t at = (size_t)(start / RK_STEP) * BLOCK_KEYS + (size_t)key, skipped = (size_t)(start / RK_STEP * h->padded);
    size_t sums = (size_t)(block_key + key) * (size_t)h->padded;
    int steps = (rows - start) / RK_STEP;
    RK_FN(add_rows)(h->weights + at, BLOCK_KEYS, 1, h->gradient_rows + skipped, h->value_sums + sums, h->padded,
                    steps, UNIT);
    RK_FN(add_rows)(h->slopes + at, BLOCK_KEYS, 1, h->query_rows + skipped, h->key_sums + sums, h->padded, steps,
                    UNIT);
  }
  const uint32_t *key_rows = h->key_rows + (size_t)(block_key / RK_STEP) * (size_t)h->padded;
  for (int i = 0; i < rows; i += UNIT) {
    int end = causal && first + i + UNIT - block_key < keys ? first + i + UNIT - block_key : keys;
    if (end <= 0) continue;
    const uint32_t *slopes = h->slope_rows + (size_t)i * RK_SLOPES;
    float *sums = h->query_sums + i * h->padded;
    int steps = (end + RK_STEP - 1) / RK_STEP;
    if (rows - i >= UNIT) RK_FN(add_rows)(slopes, 1, RK_SLOPES, key_rows, sums, h->padded, steps, UNIT);
    else RK_FN(add_rows)(slopes, 1, RK_SLOPES, key_rows, sums, h->padded, steps, 4);
  }
}

// result = factor · sums, `count` rows.
RK_BODY void RK_FN(finish)(const gradient_head *h, const float *sums, float *result, size_t stride, int count,
                           float factor) {
  for (int i = 0; i < count; i++)
    for (int c = 0; c < h->dim; c += 16) {
      int left = h->dim - c;
      __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1 << left) - 1);
      __m512 x = _mm512_load_ps(sums + (size_t)i * (size_t)h->padded + c);
      _mm512_mask_storeu_ps(result + (size_t)i * stride + c, mask, _mm512_mul_ps(x, _mm512_set1_ps(factor)));
    }
}

// Everything that the products read of the rows from `first` on.
RK_BODY void RK_FN(pack_block)(const rk_encoder_gradient *x, const gradient_head *h, int head, int first, int valid,
                               int rows) {
  const size_t column = (size_t)head * (size_t)h->dim;
  const float *query = x->query + (size_t)first * x->query_stride + column;
  const float *gradient = x->gradient + (size_t)first * x->gradient_stride + column;
  const float *output = x->output + (size_t)first * x->output_stride + column;
  RK_FN(pack_words)(h, query, x->query_stride, valid, rows, h->query);
  RK_FN(pack_words)(h, gradient, x->gradient_stride, valid, rows, h->gradient);
#if RK_PAIRED
  RK_FN(pack_pairs)(h, query, x->query_stride, valid, rows, h->query_rows);
  RK_FN(pack_pairs)(h, gradient, x->gradient_stride, valid, rows, h->gradient_rows);
#endif
  for (int i = 0; i < rows; i++) {
    h->offset[i] = -INFINITY;
    h->product[i] = 0;
    if (i >= valid) continue;
    __m512 sum = _mm512_setzero_ps();
    for (int c = 0; c < h->dim; c += 16)
      sum = _mm512_fmadd_ps(RK_FN(load)(gradient + (size_t)i * x->gradient_stride, c, h->dim),
                            RK_FN(load)(output + (size_t)i * x->output_stride, c, h->dim), sum);
    h->product[i] = _mm512_reduce_add_ps(sum);
    h->offset[i] = -x->log_sum_exp[(size_t)(first + i) * x->log_sum_exp_stride + (size_t)head] * LOG2_E;
  }
}

RK_TARGET static void RK_FN(run)(const rk_encoder_gradient *x, const gradient_head *h) {
  RK_FN(pack_transposed)(h, x->key, x->key_stride, h->keys);
  RK_FN(pack_transposed)(h, x->value, x->value_stride, h->values);
#if RK_PAIRED
  RK_FN(pack_pairs)(h, x->key, x->key_stride, h->length, h->tokens, h->key_rows);
#else
  RK_FN(pack_words)(h, x->key, x->key_stride, h->length, h->tokens, h->key_rows);
#endif
  memset(h->key_sums, 0, 4 * (size_t)h->tokens * (size_t)h->padded);
  memset(h->value_sums, 0, 4 * (size_t)h->tokens * (size_t)h->padded);
  for (int head = 0; head < x->heads; head++)
    for (int first = 0; first < h->length; first += BLOCK_ROWS) {
      int valid = h->length - first < BLOCK_ROWS ? h->length - first : BLOCK_ROWS, rows = (valid + 3) / 4 * 4;
      RK_FN(pack_block)(x, h, head, first, valid, rows);
      memset(h->query_sums, 0, 4 * (size_t)rows * (size_t)h->padded);
      int end = x->causal ? first + valid : h->length;
      for (int key = 0; key < end; key += BLOCK_KEYS)
        RK_FN(block)(h, first, rows, key, end - key < BLOCK_KEYS ? end - key : BLOCK_KEYS, x->causal,
                     x->scale * LOG2_E);
      RK_FN(finish)(h, h->query_sums, x->query_gradient + (size_t)first * x->result_stride + head * h->dim,
                    x->result_stride, valid, x->scale);
    }
  RK_FN(finish)(h, h->key_sums, x->key_gradient, x->result_stride, h->length, x->scale);
  RK_FN(finish)(h, h->value_sums, x->value_gradient, x->result_stride, h->length, 1);
}

#undef RK_BODY
#undef RK_STEP
#undef RK_SLOPES
