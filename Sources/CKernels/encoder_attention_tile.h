// Rows of encoder attention against a packed head, included once for Float32 (RK_PAIRED 0) and once for pairs of
// bfloat16 (RK_PAIRED 1). The includer defines RK_FN(name), RK_TARGET and RK_PAIRED.
#define RK_BODY RK_TARGET static inline __attribute__((always_inline))

#if RK_PAIRED
#define RK_STEP 2
#else
#define RK_STEP 1
#endif

// Scores of R rows for the G (1...4) groups of 16 tokens from group `first` on.
RK_BODY void RK_FN(score)(const packed_head *h, int first, int G, int R) {
  const int steps = (h->dim + RK_STEP - 1) / RK_STEP;
  __m512 s[ROWS][4];
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < G; g++) s[r][g] = _mm512_setzero_ps();
  const uint32_t *keys = h->keys + (size_t)first * (size_t)steps * 16;
  for (int d = 0; d < steps; d++) {
    __m512i k[4];
    RK_UNROLL
    for (int g = 0; g < G; g++) k[g] = _mm512_load_si512(keys + ((size_t)g * (size_t)steps + (size_t)d) * 16);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512i q = _mm512_set1_epi32((int)h->query[r * h->padded + d]);
      RK_UNROLL
      for (int g = 0; g < G; g++)
#if RK_PAIRED
        s[r][g] = _mm512_dpbf16_ps(s[r][g], (__m512bh)k[g], (__m512bh)q);
#else
        s[r][g] = _mm512_fmadd_ps(_mm512_castsi512_ps(k[g]), _mm512_castsi512_ps(q), s[r][g]);
#endif
    }
  }
  __m512 scale = _mm512_set1_ps(h->scale);
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int g = 0; g < G; g++)
      _mm512_store_ps(h->scores + ((size_t)r * (size_t)h->groups + (size_t)(first + g)) * 16,
                      _mm512_mul_ps(s[r][g], scale));
}

// Turns a row's scores for its first `length` tokens into weights, in place, and those of other tokens in the
// first `groups` groups into zero; returns 1 / their sum and gives the logarithm of the sum.
RK_BODY float RK_FN(weigh)(const packed_head *h, int r, int length, int groups, float *log_sum_exp) {
  float *s = h->scores + (size_t)r * (size_t)h->groups * 16;
  const __m512 low = _mm512_set1_ps(-INFINITY);
  int last = (length - 1) / 16;
  __mmask16 tail = (__mmask16)(0xffff >> (last * 16 + 16 - length));
  __m512 best = _mm512_mask_loadu_ps(low, tail, s + 16 * last);
  for (int g = 0; g < last; g++) best = _mm512_max_ps(best, _mm512_load_ps(s + 16 * g));
  float top = _mm512_reduce_max_ps(best);
  __m512 total = _mm512_setzero_ps(), m = _mm512_set1_ps(top);
  for (int g = 0; g <= last; g++) {
    __m512 x = g == last ? _mm512_mask_loadu_ps(low, tail, s + 16 * g) : _mm512_load_ps(s + 16 * g);
    __m512 p = rk_exp16(_mm512_sub_ps(x, m));
#if RK_PAIRED
    // Weights take half the room of the scores before them, which are read already.
    __m256bh narrow = _mm512_cvtneps_pbh(p);
    _mm256_store_si256((__m256i *)(void *)(s + 8 * g), (__m256i)narrow);
    // The sum is of the weights as they are used.
    p = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)narrow), 16));
#else
    _mm512_store_ps(s + 16 * g, p);
#endif
    total = _mm512_add_ps(total, p);
  }
  for (int g = last + 1; g < groups; g++)
#if RK_PAIRED
    _mm256_store_si256((__m256i *)(void *)(s + 8 * g), _mm256_setzero_si256());
#else
    _mm512_store_ps(s + 16 * g, _mm512_setzero_ps());
#endif
  float sum = _mm512_reduce_add_ps(total);
  *log_sum_exp = top + logf(sum);
  return 1.0f / sum;
}

// out[r] = Σ_j p[r][j] · value[j] · inverse[r] over the first `length` tokens, for the V (1...4) vectors of columns
// from `column` on.
RK_BODY void RK_FN(gather)(const packed_head *h, int length, int column, int V, int R, const float *inverse,
                           float *const *out) {
  __m512 a[ROWS][4];
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int i = 0; i < V; i++) a[r][i] = _mm512_setzero_ps();
  const int steps = (length + RK_STEP - 1) / RK_STEP;
  const uint32_t *weights = (const uint32_t *)(const void *)h->scores;
  for (int j = 0; j < steps; j++) {
    const uint32_t *p = h->values + (size_t)j * (size_t)h->padded + column;
    __m512i x[4];
    RK_UNROLL
    for (int i = 0; i < V; i++) x[i] = _mm512_load_si512(p + 16 * i);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512i w = _mm512_set1_epi32((int)weights[(size_t)r * (size_t)h->groups * 16 + (size_t)j]);
      RK_UNROLL
      for (int i = 0; i < V; i++)
#if RK_PAIRED
        a[r][i] = _mm512_dpbf16_ps(a[r][i], (__m512bh)x[i], (__m512bh)w);
#else
        a[r][i] = _mm512_fmadd_ps(_mm512_castsi512_ps(x[i]), _mm512_castsi512_ps(w), a[r][i]);
#endif
    }
  }
  RK_UNROLL
  for (int r = 0; r < R; r++)
    for (int i = 0; i < V; i++) {
      int left = h->dim - column - 16 * i;
      __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
      _mm512_mask_storeu_ps(out[r] + column + 16 * i, mask, _mm512_mul_ps(a[r][i], _mm512_set1_ps(inverse[r])));
    }
}

// R rows from `row` on; each reads all tokens, or where `causal` those up to itself.
RK_BODY void RK_FN(rows)(const packed_head *h, int row, int R, int causal, float *const *out, float *log_sum_exp) {
  const int length = causal ? row + R : h->length, groups = (length + 15) / 16;
  int group = 0;
  for (; group + 4 <= groups; group += 4) RK_FN(score)(h, group, 4, R);
  switch (groups - group) {
    case 1: RK_FN(score)(h, group, 1, R); break;
    case 2: RK_FN(score)(h, group, 2, R); break;
    case 3: RK_FN(score)(h, group, 3, R); break;
    default: break;
  }
  float inverse[ROWS];
  for (int r = 0; r < R; r++)
    inverse[r] = RK_FN(weigh)(h, r, causal ? row + r + 1 : length, groups, log_sum_exp + r);
  int column = 0;
  for (; column + 64 <= h->padded; column += 64) RK_FN(gather)(h, length, column, 4, R, inverse, out);
  switch ((h->padded - column) / 16) {
    case 1: RK_FN(gather)(h, length, column, 1, R, inverse, out); break;
    case 2: RK_FN(gather)(h, length, column, 2, R, inverse, out); break;
    case 3: RK_FN(gather)(h, length, column, 3, R, inverse, out); break;
    default: break;
  }
}

// Keys transposed in groups of 16 tokens, values as they are read; tokens and columns beyond the end are zero.
RK_BODY void RK_FN(pack)(const rk_encoder_head *x, const packed_head *h) {
  const int steps = (h->dim + RK_STEP - 1) / RK_STEP, tokens = h->groups * 16;
  uint32_t *keys = (uint32_t *)h->keys, *values = (uint32_t *)h->values;
  for (int j = 0; j < tokens; j++) {
    const float *key = x->key + (size_t)j * x->key_stride;
    uint32_t *target = keys + (size_t)(j / 16) * (size_t)steps * 16 + j % 16;
    for (int c = 0; c < h->dim; c += 16) {
      __mmask16 mask = h->dim - c >= 16 ? 0xffff : (__mmask16)((1 << (h->dim - c)) - 1);
      __m512 row = j < h->length ? _mm512_maskz_loadu_ps(mask, key + c) : _mm512_setzero_ps();
      uint32_t words[16];
#if RK_PAIRED
      _mm256_storeu_si256((__m256i *)(void *)words, (__m256i)_mm512_cvtneps_pbh(row));
#else
      _mm512_storeu_ps(words, row);
#endif
      int count = steps - c / RK_STEP < 16 / RK_STEP ? steps - c / RK_STEP : 16 / RK_STEP;
      for (int d = 0; d < count; d++) target[(size_t)(c / RK_STEP + d) * 16] = words[d];
    }
  }
  for (int j = 0; j < tokens; j += RK_STEP) {
    const float *value = x->value + (size_t)j * x->value_stride;
    for (int c = 0; c < h->padded; c += 16) {
      __mmask16 mask = h->dim - c >= 16 ? 0xffff : (__mmask16)((1 << (h->dim - c)) - 1);
      __m512 first = j < h->length ? _mm512_maskz_loadu_ps(mask, value + c) : _mm512_setzero_ps();
      uint32_t *target = values + (size_t)(j / RK_STEP) * (size_t)h->padded + c;
#if RK_PAIRED
      __m512 second =
          j + 1 < h->length ? _mm512_maskz_loadu_ps(mask, value + x->value_stride + c) : _mm512_setzero_ps();
      __m512i a = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(first));
      __m512i b = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(second));
      _mm512_store_si512(target, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
#else
      _mm512_store_ps(target, first);
#endif
    }
  }
}

RK_BODY void RK_FN(load_query)(const float *query, const packed_head *h, int r) {
  uint32_t *target = h->query + r * h->padded;
  for (int c = 0; c < h->dim; c += 16) {
    __mmask16 mask = h->dim - c >= 16 ? 0xffff : (__mmask16)((1 << (h->dim - c)) - 1);
    __m512 row = _mm512_maskz_loadu_ps(mask, query + c);
#if RK_PAIRED
    _mm256_storeu_si256((__m256i *)(void *)(target + c / 2), (__m256i)_mm512_cvtneps_pbh(row));
#else
    _mm512_storeu_ps(target + c, row);
#endif
  }
}

RK_TARGET static void RK_FN(head)(const rk_encoder_head *x, const packed_head *h) {
  RK_FN(pack)(x, h);
  for (int row = 0; row < x->length; row += ROWS) {
    int count = x->length - row < ROWS ? x->length - row : ROWS;
    float *out[ROWS], sums[ROWS];
    for (int r = 0; r < count; r++) {
      RK_FN(load_query)(x->query + (size_t)(row + r) * x->query_stride, h, r);
      out[r] = x->out + (size_t)(row + r) * x->out_stride;
    }
    switch (count) {
      case 1: RK_FN(rows)(h, row, 1, x->causal, out, sums); break;
      case 2: RK_FN(rows)(h, row, 2, x->causal, out, sums); break;
      case 3: RK_FN(rows)(h, row, 3, x->causal, out, sums); break;
      case 4: RK_FN(rows)(h, row, 4, x->causal, out, sums); break;
      case 5: RK_FN(rows)(h, row, 5, x->causal, out, sums); break;
      default: RK_FN(rows)(h, row, 6, x->causal, out, sums); break;
    }
    if (x->log_sum_exp)
      for (int r = 0; r < count; r++) x->log_sum_exp[(size_t)(row + r) * x->log_sum_exp_stride] = sums[r];
  }
}

#undef RK_BODY
#undef RK_STEP
