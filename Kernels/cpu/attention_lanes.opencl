// Causal grouped-query attention over a paged cache on CPU-class devices, in register tiles: query heads that share
// a key head, of one row or several, are the rows of a tile; keys, then numbers of the values, its columns.
//
//   q          [rows, heads · head_dim] float, rows q_stride elements apart, from element q_offset
//   keys       [blocks, kv_heads, key_groups, head_dim, 16]: groups of 16 tokens transposed; key_groups covers
//              a block of block_size tokens
//   values     [blocks, kv_heads, block_size, value_stride], value_stride a multiple of TILE_COLUMNS
//   rows       [entries, 3] int: row, tokens that it sees, nothing
//   items      [items, 5] int: first entry, first query, queries, first segment, segments; queries are counted from
//              the first entry on, a row's heads of the group after one another
//   segments   [segments, 5] int: start of the block table in `tables`, first token, end, range of the item's
//              queries; the first token is 0, or a whole number of spans where blocks are whole groups
//   tables     block numbers
//   y          [rows, heads · head_dim] float, packed
// Order: online softmax over spans of SPAN_GROUPS groups of keys from token 0 on, whatever the row's item or tile.
// Launch: (kv_heads, items) items, groups of 1.
// KV_HALF: cache of halfs. An item has up to MAX_QUERIES queries, so that what it reads of the cache serves them all.
// lanes, vector_math with VEC 16 and register_tile come before.
#ifndef KV_HALF
#define KV_HALF 0
#endif
#define MAX_HEAD_DIM 256
#define MAX_QUERIES 24
#define SPAN_GROUPS 4
// Between rows; not powers of two, so that rows do not meet in the cache.
#define DIM_PITCH (MAX_HEAD_DIM + 16)
#define SPAN_PITCH (16 * SPAN_GROUPS + 16)

// Infinities and NaNs among values would poison the sums of rows that may not see them, so values are bounded. A NaN
// among keys stays one: it reaches only the scores of rows that see it.
#if KV_HALF
typedef ushort stored;
#define load_stored(p) half_lanes(vload16(0, p))
#define store_key(x, i, p) vstore_half_rte(fabs(x) > 65504.0f ? copysign(65504.0f, x) : x, i, (global half *)(p))
#define store_value(x, i, p) vstore_half_rte(fmin(fmax(x, -65504.0f), 65504.0f), i, (global half *)(p))
#else
typedef float stored;
#define load_stored(p) vload16(0, p)
#define store_key(x, i, p) (p)[i] = (x)
#define store_value(x, i, p) (p)[i] = fmin(fmax(x, -FLT_MAX), FLT_MAX)
#endif

#if LANES == 8
#define EACH_OF_FEW(F) F(0) F(1) F(2)
#else
#define EACH_OF_FEW(F) F(0) F(1) F(2) F(3) F(4) F(5)
#endif
// The columns of a term: of one group of sixteen at `p`, or of that and of one at `next`. ASK_AHEAD asks for what is
// read later, as much a term: blocks lie apart, so the hardware guesses too little.
#if LANES == 8
#define FETCH_TERM(p, next)                 \
  const float16 both = load_stored(p);      \
  const lanes w0 = both.lo, w1 = both.hi;
#define ASK_AHEAD(p, next) FETCH_LINE(p);
#else
#define FETCH_TERM(p, next) const lanes w0 = load_stored(p), w1 = load_stored(next);
#define ASK_AHEAD(p, next) \
  FETCH_LINE(p);           \
  FETCH_LINE(next);
#endif
// Adds `terms` terms to the tile's sums; those of a row of `left` lie side by side, those of `right` `step` apart.
#define MULTIPLY_STORED(EACH, left, left_row, right, right_next, step, terms, ahead, ahead_next)      \
  {                                                                                                   \
    const float *tile_left = left;                                                                    \
    const uint tile_left_row = left_row;                                                              \
    global const stored *tile_right = right, *tile_right_next = right_next;                           \
    for (uint term = 0; term < (terms); ++term) {                                                     \
      FETCH_TERM(tile_right, tile_right_next)                                                         \
      ASK_AHEAD(ahead + term * 16, ahead_next + term * 16)                                            \
      EACH(TILE_FMA)                                                                                  \
      tile_left += 1;                                                                                 \
      tile_right += step;                                                                             \
      tile_right_next += step;                                                                        \
    }                                                                                                 \
  }

#define SCORE_STORE(r)                               \
  store_lanes(a##r, 0, target + r * SPAN_PITCH);     \
  store_lanes(b##r, 1, target + r * SPAN_PITCH);
#define OUTPUT_LOAD(r)                                                               \
  lanes a##r = load_lanes(0, output + r * DIM_PITCH + c) * (lanes)(factor[r]);       \
  lanes b##r = load_lanes(1, output + r * DIM_PITCH + c) * (lanes)(factor[r]);
// A tile's rows beyond `valid` are computed and dropped: they may be another sequence's.
#define OUTPUT_STORE(r)                                 \
  if (r < valid) {                                      \
    store_lanes(a##r, 0, output + r * DIM_PITCH + c);   \
    store_lanes(b##r, 1, output + r * DIM_PITCH + c);   \
  }

// One tile of rows over a span: scores become weights, and values are added up by them. What a group of values takes
// is asked for while its scores are made, what the next span's keys take while values are added up.
#define ATTEND(EACH)                                                                                        \
  {                                                                                                         \
    for (uint g = 0; g < groups; g += TILE_COLUMNS / 16) {                                                  \
      const uint g_next = min(g + 1, groups - 1);                                                           \
      float *target = weights + g * 16;                                                                     \
      EACH(TILE_ZERO)                                                                                       \
      MULTIPLY_STORED(EACH, query, DIM_PITCH, key[g], key[g_next], 16, head_dim, value[g], value[g_next])   \
      EACH(SCORE_STORE)                                                                                     \
    }                                                                                                       \
    weigh(weights, limits + i, first, count, groups, valid, highest + i, total + i, factor);                \
    for (uint c = 0; c < value_stride; c += TILE_COLUMNS) {                                                 \
      EACH(OUTPUT_LOAD)                                                                                     \
      for (uint g = 0; g < groups; ++g) {                                                                   \
        const uint terms = (uint)min(count[g], seen - first[g]);                                            \
        global const stored *ahead = next_key[g] + c * 16;                                                  \
        MULTIPLY_STORED(EACH, weights + g * 16, SPAN_PITCH, value[g] + c, value[g] + c + 16, value_stride,  \
                        terms, ahead, ahead + 256)                                                          \
      }                                                                                                     \
      EACH(OUTPUT_STORE)                                                                                    \
    }                                                                                                       \
  }

// 2^x for x up to 0, and 2^-124 for what is smaller: a polynomial for the fraction, exactly 1 at 0, with a relative
// error of 1.6e-7. Adding 1.5 · 2^23 rounds to a whole number, which some compilers spell out otherwise.
float16 exp2_weight(float16 x) {
  x = x < (float16)(-124.0f) ? (float16)(-124.0f) : x;
  const float16 shifted = x + (float16)(12583038.0f);
  const float16 f = x - (shifted - (float16)(12583038.0f));
  float16 p = (float16)(2.652945462614298e-3f);
  p = fma(p, f, (float16)(1.9343025982379914e-2f));
  p = fma(p, f, (float16)(1.1101467162370682e-1f));
  p = fma(p, f, (float16)(4.80444848537445e-1f));
  p = fma(p, f, (float16)(1.3862940073013306f));
  p = fma(p, f, (float16)(2.0f));
  return p * as_float16(as_int16(shifted) << 23);
}

// The larger of each lane; a NaN in `x` is left out.
float16 larger(float16 x, float16 than) { return x > than ? x : than; }

// Turns the scores of `valid` rows, `groups` groups of 16 each, into weights 2^(score − maximum), 0 for tokens that a
// row does not see; the sums that came before are to be multiplied by `factor`, as total is.
void weigh(float *weights, const int *limits, const int *first, const int *count, uint groups, uint valid,
           float *highest, float16 *total, float *factor) {
  float risen[16];
  vstore16((float16)(0.0f), 0, risen);
  for (uint r = 0; r < valid; ++r) {
    float *line = weights + r * SPAN_PITCH;
    float16 peaks = (float16)(highest[r]);
    for (uint g = 0; g < groups; ++g) {
      const int visible = min(limits[r] - first[g], count[g]);
      float16 s = vload16(g, line);
      if (visible < 16) s = LANE_INDEX < (int16)(visible) ? s : (float16)(-INFINITY);
      peaks = larger(s, peaks);
    }
    const float8 eight = peaks.lo > peaks.hi ? peaks.lo : peaks.hi;
    const float4 four = eight.lo > eight.hi ? eight.lo : eight.hi;
    const float2 two = four.lo > four.hi ? four.lo : four.hi;
    const float peak = two.x > two.y ? two.x : two.y;
    risen[r] = highest[r] - peak;
    highest[r] = peak;
  }
  vstore16(exp2_weight(vload16(0, risen)), 0, factor);
  for (uint r = 0; r < valid; ++r) {
    float *line = weights + r * SPAN_PITCH;
    float16 sums = total[r] * (float16)(factor[r]);
    for (uint g = 0; g < groups; ++g) {
      const int visible = min(limits[r] - first[g], count[g]);
      float16 p = exp2_weight(vload16(g, line) - (float16)(highest[r]));
      if (visible < 16) p = LANE_INDEX < (int16)(visible) ? p : (float16)(0.0f);
      vstore16(p, g, line);
      sums += p;
    }
    total[r] = sums;
  }
}

kernel void attention(global const float *q, uint q_offset, uint q_stride, global const stored *keys,
                      global const stored *values, global const int *rows, global const int *items,
                      global const int *segments, global const int *tables, global float *y, uint heads,
                      uint kv_heads, uint head_dim, uint block_size, float scale) {
  const uint kv_head = get_global_id(0);
  global const int *item = items + 5 * get_global_id(1);
  global const int *entries = rows + 3 * item[0];
  const uint first_query = item[1], query_count = item[2];
  const uint group = heads / kv_heads;
  const uint key_groups = (block_size + 15) / 16;
  const uint value_stride = (head_dim + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;

  // A tile may go beyond the last query.
  float queries[(MAX_QUERIES + TILE_ROWS) * DIM_PITCH], outputs[(MAX_QUERIES + TILE_ROWS) * DIM_PITCH];
  float weights[TILE_ROWS * SPAN_PITCH], highest[MAX_QUERIES], factor[16];
  float16 total[MAX_QUERIES];
  int limits[MAX_QUERIES];
  for (uint i = 0; i < query_count; ++i) {
    const uint index = first_query + i;
    global const int *entry = entries + 3 * (index / group);
    global const float *source =
        q + q_offset + (size_t)entry[0] * q_stride + (kv_head * group + index % group) * head_dim;
    // Scores are logarithms to base 2.
    const float16 unit = (float16)(scale * 1.44269504088896341f);
    for (uint d = 0; d < head_dim; d += 16) {
      vstore16(load_real(source + d, head_dim - d) * unit, 0, queries + i * DIM_PITCH + d);
    }
    for (uint d = 0; d < value_stride; d += 16) vstore16((float16)(0.0f), 0, outputs + i * DIM_PITCH + d);
    highest[i] = -INFINITY;
    total[i] = (float16)(0.0f);
    limits[i] = entry[1];
  }

  for (int part = 0; part < item[4]; ++part) {
    global const int *segment = segments + 5 * (item[3] + part);
    global const int *table = tables + segment[0];
    const int end = segment[2];
    const uint query_end = segment[4];
    const uint last_unit = ((uint)end - 1) / block_size * key_groups + ((uint)end - 1) % block_size / 16;
    for (uint unit = (uint)segment[1] / block_size * key_groups + (uint)segment[1] % block_size / 16;
         unit <= last_unit; unit += SPAN_GROUPS) {
      global const stored *key[SPAN_GROUPS], *value[SPAN_GROUPS], *next_key[SPAN_GROUPS];
      int first[SPAN_GROUPS], count[SPAN_GROUPS];
      const uint found = min((uint)SPAN_GROUPS, last_unit + 1 - unit);
      for (uint g = 0; g < found; ++g) {
        const uint place = (unit + g) % key_groups * 16, block = (unit + g) / key_groups;
        const size_t at = (size_t)table[block] * kv_heads + kv_head;
        first[g] = block * block_size + place;
        count[g] = min(16, (int)(block_size - place));
        key[g] = keys + (at * key_groups + place / 16) * head_dim * 16;
        value[g] = values + (at * block_size + place) * value_stride;
        const uint next = min(unit + g + SPAN_GROUPS, last_unit);
        const size_t next_at = (size_t)table[next / key_groups] * kv_heads + kv_head;
        next_key[g] = keys + (next_at * key_groups + next % key_groups) * head_dim * 16;
      }
      for (uint i = segment[3]; i < query_end; i += TILE_ROWS) {
        const uint valid = min((uint)TILE_ROWS, query_end - i);
        int seen = 0;
        for (uint r = 0; r < valid; ++r) seen = max(seen, limits[i + r]);
        seen = min(seen, end);
        uint groups = 0;
        while (groups < found && first[groups] < seen) ++groups;
        if (groups == 0) continue;
        const float *query = queries + i * DIM_PITCH;
        float *output = outputs + i * DIM_PITCH;
        if (valid > TILE_ROWS / 2) ATTEND(EACH_ROW) else ATTEND(EACH_OF_FEW)
      }
    }
  }

  for (uint i = 0; i < query_count; ++i) {
    const uint index = first_query + i;
    global float *target =
        y + ((size_t)entries[3 * (index / group)] * heads + kv_head * group + index % group) * head_dim;
    const float16 inverse = (float16)(1.0f / sum_lanes(total[i]));
    for (uint d = 0; d < head_dim; d += 16) {
      store_real(vload16(0, outputs + i * DIM_PITCH + d) * inverse, target + d, head_dim - d);
    }
  }
}

// Writes new keys and values [rows, kv_heads · head_dim] into slots[row] = block · block_size + place.
// Launch: (kv_heads, rows) items.
kernel void store_kv(global const float *key, uint key_offset, uint key_stride, global const float *value,
                     uint value_offset, uint value_row_stride, global stored *keys, global stored *values,
                     global const int *slots, uint kv_heads, uint head_dim, uint block_size) {
  const uint head = get_global_id(0);
  const size_t row = get_global_id(1);
  const uint block = (uint)slots[row] / block_size, place = (uint)slots[row] % block_size;
  const uint key_groups = (block_size + 15) / 16;
  const uint value_stride = (head_dim + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
  const size_t at = (size_t)block * kv_heads + head;
  global const float *k = key + key_offset + row * key_stride + head * head_dim;
  global const float *v = value + value_offset + row * value_row_stride + head * head_dim;
  global stored *key_out = keys + ((at * key_groups + place / 16) * head_dim) * 16 + place % 16;
  global stored *value_out = values + (at * block_size + place) * value_stride;
  for (uint d = 0; d < head_dim; ++d) {
    store_key(k[d], d * 16, key_out);
    store_value(v[d], d, value_out);
  }
}
