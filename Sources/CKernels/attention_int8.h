// Chunks of attention over keys and values in int8, with VNNI.
//
// A query enters as two int8 rows, 128 · high + low, which hold 15 bits of its largest number; so do the weights of
// a chunk, as 256 · high + low of the largest, with each value's scale multiplied in before. All that is left to
// round after the cache's own rounding is less than bfloat16 rounds, every sum of codes is exact in int32, and two
// instructions of 64 products cost what two of 32 cost in bfloat16.
//
// Layout of row_tile in int8: `pairs` holds a row's query as int8 [2][MAX_DIM], `weights` its weights as
// uint8 [2][CHUNK].
#define RK_BODY RK_AVX512 static inline __attribute__((always_inline))

RK_BODY __m512i four(const void *p) {
  int32_t word;
  memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

RK_BODY const int8_t *query_codes(const row_tile *t, int row, int half) {
  return (const int8_t *)(t->pairs + row * (MAX_DIM / 2)) + half * MAX_DIM;
}

RK_BODY uint8_t *weight_codes(const row_tile *t, int row, int half) {
  return (uint8_t *)(t->weights + row * (CHUNK / 2)) + half * CHUNK;
}

// s[r][g] += query half of R rows · keys of G groups of 16 tokens, numbers from ..< to.
RK_BODY void codes_dot(const uint8_t *const *keys, int G, const row_tile *t, int row, int R, int half, int from,
                       int to, __m512i s[ROWS][4]) {
  for (int d = from; d < to; d += 4) {
    __m512i k[4];
    RK_UNROLL
    for (int g = 0; g < G; g++) k[g] = _mm512_loadu_si512(keys[g] + 16 * (size_t)d);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512i q = four(query_codes(t, row + r, half) + d);
      RK_UNROLL
      for (int g = 0; g < G; g++) s[r][g] = _mm512_dpbusd_epi32(s[r][g], k[g], q);
    }
  }
}

RK_BODY void codes_score(const rk_kv_view *v, const uint8_t *const *keys, const float *const *scales, int G,
                         row_tile *t, int row, int R) {
  for (int from = 0, group = 0; from < v->head_dim; from += RK_KV_GROUP, group++) {
    int to = from + RK_KV_GROUP < v->head_dim ? from + RK_KV_GROUP : v->head_dim;
    __m512i s[ROWS][4];
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int g = 0; g < G; g++) s[r][g] = _mm512_set1_epi32(t->offsets[row + r][0][group]);
    codes_dot(keys, G, t, row, R, 0, from, to, s);
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int g = 0; g < G; g++)
        s[r][g] = _mm512_add_epi32(_mm512_slli_epi32(s[r][g], 7), _mm512_set1_epi32(t->offsets[row + r][1][group]));
    codes_dot(keys, G, t, row, R, 1, from, to, s);
    __m512 scale[4];
    RK_UNROLL
    for (int g = 0; g < G; g++) scale[g] = _mm512_loadu_ps(scales[g] + (size_t)group * (size_t)v->block_size);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512 unit = _mm512_set1_ps(t->unit[row + r]);
      for (int g = 0; g < G; g++) {
        float *out = t->scores + (row + r) * CHUNK + 16 * g;
        __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(s[r][g]), _mm512_mul_ps(scale[g], unit));
        if (group > 0) x = _mm512_add_ps(x, _mm512_loadu_ps(out));
        _mm512_storeu_ps(out, x);
      }
    }
  }
}

// Turns a row's weights p into codes of p · scale of the value; returns their unit.
RK_BODY float codes_weights(row_tile *t, int r, int start, const float *const *scales) {
  const float *p = t->scores + r * CHUNK;
  __m512 x[4], most = _mm512_setzero_ps();
  for (int g = 0; g < 4; g++) {
    int left = t->limit[r] - start - 16 * g;
    __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    x[g] = mask ? _mm512_maskz_mul_ps(mask, _mm512_loadu_ps(p + 16 * g), _mm512_maskz_loadu_ps(mask, scales[g]))
                : _mm512_setzero_ps();
    most = _mm512_max_ps(most, x[g]);
  }
  float top = _mm512_reduce_max_ps(most);
  // Below this the inverse would overflow, and no weight counts.
  __m512 inverse = _mm512_set1_ps(top > 1e-33f ? 65535.0f / top : 0);
  for (int g = 0; g < 4; g++) {
    __m512i code = _mm512_cvtps_epi32(_mm512_mul_ps(x[g], inverse));
    _mm_storeu_si128((__m128i *)(void *)(weight_codes(t, r, 0) + 16 * g),
                     _mm512_cvtepi32_epi8(_mm512_srli_epi32(code, 8)));
    _mm_storeu_si128((__m128i *)(void *)(weight_codes(t, r, 1) + 16 * g), _mm512_cvtepi32_epi8(code));
  }
  return top / 65535.0f;
}

// a[r][i] += a half of the weights of R rows · values, columns c ..< c + 64.
RK_BODY void codes_weigh_values(const rk_kv_view *v, const uint8_t *const *values, int count, const __mmask16 *mask,
                                int c, const row_tile *t, int row, int R, int half, __m512i a[ROWS][4]) {
  size_t stride = 4 * (size_t)v->head_dim;
  for (int j = 0; j < count; j += 4) {
    const uint8_t *p = values[j / 16] + (size_t)(j % 16 / 4) * stride + 4 * (size_t)c;
    __m512i x0 = _mm512_maskz_loadu_epi32(mask[0], p), x1 = _mm512_maskz_loadu_epi32(mask[1], p + 64);
    __m512i x2 = _mm512_maskz_loadu_epi32(mask[2], p + 128), x3 = _mm512_maskz_loadu_epi32(mask[3], p + 192);
    RK_UNROLL
    for (int r = 0; r < R; r++) {
      __m512i w = four(weight_codes(t, row + r, half) + j);
      a[r][0] = _mm512_dpbusd_epi32(a[r][0], w, x0);
      a[r][1] = _mm512_dpbusd_epi32(a[r][1], w, x1);
      a[r][2] = _mm512_dpbusd_epi32(a[r][2], w, x2);
      a[r][3] = _mm512_dpbusd_epi32(a[r][3], w, x3);
    }
  }
}

RK_BODY void codes_accumulate(const rk_kv_view *v, const uint8_t *const *values, int count, const float *correction,
                              const float *unit, row_tile *t, int row, int R) {
  for (int c = 0; c < v->head_dim; c += 64) {
    __mmask16 mask[4];
    for (int i = 0; i < 4; i++) {
      int left = v->head_dim - c - 16 * i;
      mask[i] = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    }
    __m512i a[ROWS][4];
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int i = 0; i < 4; i++) a[r][i] = _mm512_setzero_si512();
    codes_weigh_values(v, values, count, mask, c, t, row, R, 0, a);
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int i = 0; i < 4; i++) a[r][i] = _mm512_slli_epi32(a[r][i], 8);
    codes_weigh_values(v, values, count, mask, c, t, row, R, 1, a);
    RK_UNROLL
    for (int r = 0; r < R; r++)
      for (int i = 0; i < 4; i++) {
        float *out = t->acc + (row + r) * MAX_DIM + c + 16 * i;
        __m512 old = _mm512_mul_ps(_mm512_loadu_ps(out), _mm512_set1_ps(correction[r]));
        _mm512_storeu_ps(out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[r][i]), _mm512_set1_ps(unit[r]), old));
      }
  }
}

RK_BODY void codes_chunks(const rk_kv_view *v, int kv_head, row_tile *t, int row, int R, int from, int to,
                          int half) {
  (void)half;
  for (int start = from; start < to; start += CHUNK) {
    int count = to - start < CHUNK ? to - start : CHUNK, groups = (count + 15) / 16;
    prefetch_next(v, t, row, kv_head, start, to);
    const uint8_t *keys[4], *values[4];
    const float *key_scales[4], *value_scales[4];
    for (int g = 0; g < groups; g++) {
      int token = start + 16 * g, slot = token % v->block_size;
      const uint8_t *base = block_keys(v, t->table[row], token, kv_head);
      keys[g] = base + scale_bytes(v) + key_index(v, slot, 0);
      values[g] = base + scale_bytes(v) + value_index(v, slot, 0);
      key_scales[g] = (const float *)(const void *)base + slot;
      value_scales[g] = (const float *)(const void *)base + value_scale_index(v, slot);
    }
    for (int g = groups; g < 4; g++) value_scales[g] = value_scales[0];
    switch (groups) {
      case 1: codes_score(v, keys, key_scales, 1, t, row, R); break;
      case 2: codes_score(v, keys, key_scales, 2, t, row, R); break;
      case 3: codes_score(v, keys, key_scales, 3, t, row, R); break;
      default: codes_score(v, keys, key_scales, 4, t, row, R); break;
    }
    float correction[ROWS], unit[ROWS];
    for (int r = 0; r < R; r++) {
      correction[r] = plain_weigh(t, row + r, start);
      unit[r] = codes_weights(t, row + r, start, value_scales);
    }
    codes_accumulate(v, values, count, correction, unit, t, row, R);
  }
}

#undef RK_BODY
