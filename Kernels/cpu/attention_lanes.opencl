// Causal grouped-query attention over a paged cache on CPU-class devices: sixteen keys ride in one vector.
//
//   q          [rows, heads · head_dim] float, rows q_stride elements apart, from element q_offset
//   keys       [blocks, kv_heads, key_groups, head_dim, 16]: groups of 16 tokens transposed; key_groups covers
//              a block of block_size tokens
//   values     [blocks, kv_heads, block_size, value_stride], value_stride a multiple of 16
//   sequences  [sequences, 4] int: first row, rows, tokens in the cache, start of the block table in `tables`
//   tables     block numbers
//   tiles      [tiles, 2] int: sequence, first query; a query is (row · group + head of the group)
//   y          [rows, heads · head_dim] float, packed
// Order: online softmax over groups of 16 keys from token 0 on, whatever the row's tile or sequence.
// Launch: (kv_heads, tiles) items, groups of 1. Tunable: QUERIES (1 … 8) in a tile. KV_HALF: cache of halfs.
#ifndef QUERIES
#define QUERIES 8
#endif
#ifndef KV_HALF
#define KV_HALF 0
#endif
#define MAX_HEAD_DIM 256

#if KV_HALF
typedef ushort stored;
#define load_stored(p) half_lanes(vload16(0, p))
#define store_stored(x, i, p) vstore_half_rte(x, i, (global half *)(p))
#else
typedef float stored;
#define load_stored(p) vload16(0, p)
#define store_stored(x, i, p) (p)[i] = (x)
#endif

#define EACH_1(F) F(0)
#define EACH_2(F) EACH_1(F) F(1)
#define EACH_3(F) EACH_2(F) F(2)
#define EACH_4(F) EACH_3(F) F(3)
#define EACH_5(F) EACH_4(F) F(4)
#define EACH_6(F) EACH_5(F) F(5)
#define EACH_7(F) EACH_6(F) F(6)
#define EACH_8(F) EACH_7(F) F(7)
#define EACH_(n, F) EACH_##n(F)
#define EACH(n, F) EACH_(n, F)

#define SCORE_ZERO(i) float16 s##i = (float16)(0.0f);
#define SCORE_FMA(i) s##i = fma((float16)(query[d * QUERIES + i]), k, s##i);
// Rows that may not see this group keep their sums: weight 0, factor 1.
#define SOFTMAX(i)                                                                        \
  {                                                                                       \
    const int visible = min(limit[i] - first, count);                                     \
    float16 p = (float16)(0.0f);                                                          \
    factor[i] = 1.0f;                                                                     \
    if (visible > 0) {                                                                    \
      const float16 s = select((float16)(-INFINITY), s##i, LANE_INDEX < (int16)(visible)); \
      const float peak = fmax(highest[i], max_lanes(s));                                  \
      factor[i] = exp_real((float16)(highest[i] - peak)).s0;                              \
      p = exp_real(s - (float16)(peak));                                                  \
      p = select((float16)(0.0f), p, LANE_INDEX < (int16)(visible));                      \
      highest[i] = peak;                                                                  \
      total[i] = fma(total[i], factor[i], sum_lanes(p));                                  \
    }                                                                                     \
    vstore16(p, i, weight);                                                               \
  }
#define VALUE_LOAD(i) float16 o##i = vload16(0, output + i * MAX_HEAD_DIM + d) * factor[i];
#define VALUE_FMA(i) o##i = fma((float16)(weight[i * 16 + j]), v, o##i);
#define VALUE_STORE(i) vstore16(o##i, 0, output + i * MAX_HEAD_DIM + d);

kernel void attention(global const float *q, uint q_offset, uint q_stride, global const stored *keys,
                      global const stored *values, global const int *sequences, global const int *tables,
                      global const int *tiles, global float *y, uint heads, uint kv_heads, uint head_dim,
                      uint block_size, float scale) {
  const uint kv_head = get_global_id(0);
  const uint tile = get_global_id(1);
  global const int *sequence = sequences + tiles[2 * tile] * 4;
  global const int *table = tables + sequence[3];
  const uint group = heads / kv_heads;
  const uint first_query = tiles[2 * tile + 1];
  const uint query_count = min((uint)QUERIES, (uint)sequence[1] * group - first_query);
  const uint key_groups = (block_size + 15) / 16;
  const uint value_stride = (head_dim + 15) / 16 * 16;

  float query[MAX_HEAD_DIM * QUERIES], output[MAX_HEAD_DIM * QUERIES], weight[QUERIES * 16];
  float highest[QUERIES], total[QUERIES], factor[QUERIES];
  int limit[QUERIES];
  int last = 0;
  for (uint i = 0; i < QUERIES; ++i) {
    const uint index = first_query + min(i, query_count - 1);
    const uint row = sequence[0] + index / group;
    global const float *source =
        q + q_offset + (size_t)row * q_stride + (kv_head * group + index % group) * head_dim;
    for (uint d = 0; d < head_dim; ++d) query[d * QUERIES + i] = source[d] * scale;
    for (uint d = 0; d < value_stride; d += 16) vstore16((float16)(0.0f), 0, output + i * MAX_HEAD_DIM + d);
    highest[i] = -INFINITY;
    total[i] = 0.0f;
    limit[i] = sequence[2] - sequence[1] + (int)(index / group) + 1;
    last = max(last, limit[i]);
  }

  for (int block_first = 0; block_first < last; block_first += block_size) {
    const size_t place = (size_t)table[block_first / block_size] * kv_heads + kv_head;
    for (uint g = 0; g < key_groups; ++g) {
      const int first = block_first + g * 16;
      const int count = min(min(16, (int)(block_size - g * 16)), last - first);
      if (count <= 0) break;
      global const stored *key = keys + (place * key_groups + g) * head_dim * 16;
      EACH(QUERIES, SCORE_ZERO)
      for (uint d = 0; d < head_dim; ++d) {
        const float16 k = load_stored(key + d * 16);
        EACH(QUERIES, SCORE_FMA)
      }
      EACH(QUERIES, SOFTMAX)
      global const stored *value = values + (place * block_size + g * 16) * value_stride;
      for (uint d = 0; d < value_stride; d += 16) {
        EACH(QUERIES, VALUE_LOAD)
        for (int j = 0; j < count; ++j) {
          const float16 v = load_stored(value + j * value_stride + d);
          EACH(QUERIES, VALUE_FMA)
        }
        EACH(QUERIES, VALUE_STORE)
      }
    }
  }

  for (uint i = 0; i < query_count; ++i) {
    const uint index = first_query + i;
    global float *target =
        y + ((size_t)(sequence[0] + index / group) * heads + kv_head * group + index % group) * head_dim;
    const float factor = 1.0f / total[i];
    for (uint d = 0; d < head_dim; d += 16) {
      store_real(vload16(0, output + i * MAX_HEAD_DIM + d) * factor, target + d, head_dim - d);
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
  const uint value_stride = (head_dim + 15) / 16 * 16;
  const size_t at = (size_t)block * kv_heads + head;
  global const float *k = key + key_offset + row * key_stride + head * head_dim;
  global const float *v = value + value_offset + row * value_row_stride + head * head_dim;
  global stored *key_out = keys + ((at * key_groups + place / 16) * head_dim) * 16 + place % 16;
  global stored *value_out = values + (at * block_size + place) * value_stride;
  for (uint d = 0; d < head_dim; ++d) {
    store_stored(k[d], d * 16, key_out);
    store_stored(v[d], d, value_out);
  }
}
