// Causal grouped-query attention over a paged cache on GPU-class devices. A work-group takes one key head and up to
// QUERIES queries, and reads each key and value that they see once.
//
//   q          [rows, heads · DIM] float, rows q_stride elements apart, from element q_offset
//   keys       [blocks, kv_heads, BLOCK, DIM] float, or half with KV_HALF
//   values     the same
//   rows       [entries, 3] int: row of q and y, tokens that it sees, its first slot in `partial`
//   items      [items, 5] int: first entry, first query, queries, first segment, segments; query n of an item is
//              query (first query + n) of those that start with its first entry, heads / kv_heads to an entry
//   segments   [segments, 5] int: start of the block table in `tables`, first token, end, and the range of the
//              item's queries to which these tokens belong
//   tables     block numbers
//   y          [rows, heads · DIM] float, packed
//   partial    [slots, heads, DIM] float: a chunk's output, not yet divided
//   sums       [slots, heads, 2] float: a chunk's maximum and sum of weights
// Order: the tokens in chunks of SPLIT from token 0 on, each by online softmax over tiles of KEYS from nothing, and
// the chunks put together in order. With DIRECT an item has all chunks of its queries in one segment and writes y.
// Without it an item has segments of one chunk, the tokens that several sequences share first and then each one's
// own; it writes y where that is the row's only chunk, else a slot of `partial`, and attention_merge puts the
// row together to the same bits.
// Launch: (ITEMS · kv_heads, items) items in groups of (ITEMS, 1). Tunable: SPLIT, a multiple of KEYS; see
// attention_tile, which comes before.
// After: attention_tile
// Check: -DKV_HALF=0,1 -DDIM=64,128 -DQUERIES=8,32 -DDIRECT=0,1
// Check: -DKV_HALF=1 -DDIM=80 -DQUERIES=16
// Check: -DKV_HALF=1 -DDIM=256 -DQUERIES=8 -DKEYS=16 -DITEMS=64
#ifndef SPLIT
#define SPLIT 256
#endif
#ifndef BLOCK
#define BLOCK 16
#endif
#ifndef DIRECT
#define DIRECT 0
#endif

// Infinities and NaNs among values would poison the sums of rows that may not see them, so values are bounded. A NaN
// among keys stays one: it reaches only the scores of rows that see it.
#if KV_HALF
#define store_key(x, i, p) vstore_half_rte(fabs(x) > 65504.0f ? copysign(65504.0f, x) : x, i, (global half *)(p))
#define store_value(x, i, p) vstore_half_rte(fmin(fmax(x, -65504.0f), 65504.0f), i, (global half *)(p))
#else
#define store_key(x, i, p) (p)[i] = (x)
#define store_value(x, i, p) (p)[i] = fmin(fmax(x, -FLT_MAX), FLT_MAX)
#endif

// The tokens `first` to `first` + KEYS of a key head; zero from `end` on.
void fetch(piece stage[STAGE], global const stored *x, global const int *table, uint kv_heads, uint kv_head,
           int first, int end) {
  UNROLL for (uint i = 0; i < STAGE; ++i) {
    const uint unit = get_local_id(0) + i * ITEMS;
    const int token = first + (int)(unit / PIECES);
    stage[i] = (piece)(0);
    if (unit < KEYS * PIECES && token < end) {
      const size_t place = ((size_t)table[token / BLOCK] * kv_heads + kv_head) * BLOCK + token % BLOCK;
      stage[i] = *(global const piece *)(x + place * DIM + unit % PIECES * STEP);
    }
  }
}

// How a chunk and the chunks before it are weighted once they are put together.
void weigh(float *highest, float *total, float chunk_highest, float chunk_total, float *before, float *now) {
  const float peak = fmax(*highest, chunk_highest);
  *before = exp_real(*highest - peak);
  *now = exp_real(chunk_highest - peak);
  *highest = peak;
  *total = fma(*total, *before, chunk_total * *now);
}

kernel void attention(global const float *q, uint q_offset, uint q_stride, global const stored *keys,
                      global const stored *values, global const int *rows, global const int *items,
                      global const int *segments, global const int *tables, global float *y,
                      global float *partial, global float *sums, uint heads, uint kv_heads, float scale) {
  local float4 memory[TILE_FLOATS / 4];
  local float highest[QUERIES], factor[QUERIES], weight[QUERIES];
  local int limit[QUERIES];
  local float *query = (local float *)memory, *tile = query + QUERIES * WIDTH, *score = tile + KEYS * TILE_PITCH;
  const uint item = get_local_id(0), kv_head = get_group_id(0), group = heads / kv_heads;
  global const int *work = items + get_group_id(1) * 5;
  global const int *entries = rows + 3 * work[0];
  const uint first_query = work[1], count = work[2];
  for (uint n = item; n < QUERIES; n += ITEMS) {
    limit[n] = n < count ? entries[3 * ((first_query + n) / group) + 1] : 0;
    highest[n] = -INFINITY;
  }
  for (uint i = item; i < QUERIES * WIDTH; i += ITEMS) {
    const uint n = i / WIDTH, d = i % WIDTH, index = first_query + n;
    query[i] = n < count && d < DIM
                   ? q[q_offset + (size_t)entries[3 * (index / group)] * q_stride +
                       (kv_head * group + index % group) * DIM + d] * scale
                   : 0.0f;
  }
  tile_pad(tile);
  float4 output[OUT_UNITS][OUT_ROWS];
  UNROLL for (uint i = 0; i < OUT_UNITS; ++i) {
    UNROLL for (uint r = 0; r < OUT_ROWS; ++r) output[i][r] = (float4)(0.0f);
  }
  float total = 0.0f, all_highest = -INFINITY, all_total = 0.0f;
#if DIRECT
  float4 all[OUT_UNITS][OUT_ROWS];
  UNROLL for (uint i = 0; i < OUT_UNITS; ++i) {
    UNROLL for (uint r = 0; r < OUT_ROWS; ++r) all[i][r] = (float4)(0.0f);
  }
#endif
  int chunk = 0;

  for (int s = 0; s < work[4]; ++s) {
    global const int *segment = segments + 5 * (work[3] + s);
    global const int *table = tables + segment[0];
    const int end = segment[2];
    const uint row = item / ROW_ITEMS;
    const int mine = (int)row >= segment[3] && (int)row < segment[4];
    piece stage[STAGE];
    if (s == 0) chunk = segment[1] / SPLIT * SPLIT;
    fetch(stage, keys, table, kv_heads, kv_head, segment[1], end);
    for (int first = segment[1]; first < end; first += KEYS) {
      tile_put(stage, tile);
      barrier(CLK_LOCAL_MEM_FENCE);
      fetch(stage, values, table, kv_heads, kv_head, first, end);
      tile_scores(query, tile, score);
      barrier(CLK_LOCAL_MEM_FENCE);
      tile_put(stage, tile);
      tile_weights(score, highest, factor, mine ? limit[row] - first : 0);
      barrier(CLK_LOCAL_MEM_FENCE);
      if (first + KEYS < end) fetch(stage, keys, table, kv_heads, kv_head, first + KEYS, end);
      tile_values(score, tile, factor, output, &total);
      barrier(CLK_LOCAL_MEM_FENCE);
#if DIRECT
      if ((first + KEYS) % SPLIT == 0 || first + KEYS >= end) {
        if (item < QUERIES) {
          float before, now;
          weigh(&all_highest, &all_total, highest[item], total, &before, &now);
          factor[item] = before;
          weight[item] = now;
          highest[item] = -INFINITY;
          total = 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        UNROLL for (uint i = 0; i < OUT_UNITS; ++i) {
          const uint n = min((item + i * ITEMS) / COLUMN_GROUPS * OUT_ROWS, (uint)(QUERIES - OUT_ROWS));
          UNROLL for (uint r = 0; r < OUT_ROWS; ++r) {
            all[i][r] = fma(all[i][r], (float4)(factor[n + r]), output[i][r] * weight[n + r]);
            output[i][r] = (float4)(0.0f);
          }
        }
      }
#endif
    }
  }

  barrier(CLK_LOCAL_MEM_FENCE);
  // A row of one chunk is that chunk put together with nothing.
  if (item < QUERIES) {
#if !DIRECT
    float before, now;
    weigh(&all_highest, &all_total, highest[item], total, &before, &now);
#endif
    weight[item] = 1.0f / all_total;
  }
#if !DIRECT
  if (item < count) {
    const uint index = first_query + item;
    global const int *entry = entries + 3 * (index / group);
    if (limit[item] > SPLIT && limit[item] > chunk) {
      const size_t slot = (size_t)(entry[2] + chunk / SPLIT) * heads + kv_head * group + index % group;
      sums[2 * slot] = highest[item];
      sums[2 * slot + 1] = total;
    }
  }
#endif
  barrier(CLK_LOCAL_MEM_FENCE);
  UNROLL for (uint i = 0; i < OUT_UNITS; ++i) {
    const uint unit = item + i * ITEMS;
    UNROLL for (uint r = 0; r < OUT_ROWS; ++r) {
      const uint n = unit / COLUMN_GROUPS * OUT_ROWS + r, index = first_query + n;
      if (unit < OUT_ALL && n < count) {
        global const int *entry = entries + 3 * (index / group);
        const size_t head = kv_head * group + index % group;
#if DIRECT
        const float4 sum = all[i][r];
#else
        const float4 sum = output[i][r] + 0.0f;
        if (limit[n] <= chunk) continue;
        if (limit[n] > SPLIT) {
          tile_store(sum, partial + ((size_t)(entry[2] + chunk / SPLIT) * heads + head) * DIM,
                 unit % COLUMN_GROUPS * 4);
          continue;
        }
#endif
        tile_store(sum * weight[n], y + ((size_t)entry[0] * heads + head) * DIM, unit % COLUMN_GROUPS * 4);
      }
    }
  }
}

// Puts the chunks of rows together, in order. `rows` as above.
// Launch: (heads · DIM and more, rows) items.
kernel void attention_merge(global const float *partial, global const float *sums, global const int *rows,
                            global float *y, uint heads) {
  const uint column = get_global_id(0);
  global const int *entry = rows + 3 * get_global_id(1);
  if (column >= heads * DIM) return;
  float highest = -INFINITY, total = 0.0f, output = 0.0f;
  size_t at = (size_t)entry[2] * heads + column / DIM;
  for (int first = 0; first < entry[1]; first += SPLIT, at += heads) {
    float before, now;
    weigh(&highest, &total, sums[2 * at], sums[2 * at + 1], &before, &now);
    output = fma(output, before, partial[at * DIM + column % DIM] * now);
  }
  y[(size_t)entry[0] * heads * DIM + column] = output * (1.0f / total);
}

// Writes new keys and values [rows, kv_heads · DIM] into slots[row] = block · BLOCK + place.
// Launch: (kv_heads · DIM, rows) items.
kernel void store_kv(global const float *key, uint key_offset, uint key_stride, global const float *value,
                     uint value_offset, uint value_row_stride, global stored *keys, global stored *values,
                     global const int *slots, uint kv_heads) {
  const uint column = get_global_id(0), head = column / DIM;
  const size_t row = get_global_id(1);
  const uint block = (uint)slots[row] / BLOCK, token = (uint)slots[row] % BLOCK;
  const size_t at = (((size_t)block * kv_heads + head) * BLOCK + token) * DIM + column % DIM;
  store_key(key[key_offset + row * key_stride + column], at, keys);
  store_value(value[value_offset + row * value_row_stride + column], at, values);
}
