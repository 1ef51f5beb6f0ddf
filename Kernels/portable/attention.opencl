// Causal grouped-query attention over a paged cache on GPU-class devices: a work-group a row and head.
//
//   q          [rows, heads · head_dim] float, rows q_stride elements apart, from element q_offset
//   keys       [blocks, kv_heads, block_size, head_dim] float, or half with KV_HALF
//   values     the same
//   sequences  [sequences, 4] int: first row, rows, tokens in the cache, start of the block table in `tables`
//   tables     block numbers
//   tiles      [rows, 2] int: sequence, row in the sequence
//   y          [rows, heads · head_dim] float, packed
// Order: online softmax over tiles of ITEMS keys from token 0 on.
// Launch: (ITEMS · heads, rows) items in groups of (ITEMS, 1). Tunable: ITEMS, a power of two.
// Check: -DKV_HALF=0,1 -DGROUP=64 -DITEMS=64
#ifndef ITEMS
#define ITEMS 64
#endif
#ifndef KV_HALF
#define KV_HALF 0
#endif
#define MAX_HEAD_DIM 256

#if KV_HALF
typedef ushort stored;
#define load_stored(p, i) vload_half(i, (global const half *)(p))
#define store_stored(x, i, p) vstore_half_rte(x, i, (global half *)(p))
#else
typedef float stored;
#define load_stored(p, i) (p)[i]
#define store_stored(x, i, p) (p)[i] = (x)
#endif

kernel void attention(global const float *q, uint q_offset, uint q_stride, global const stored *keys,
                      global const stored *values, global const int *sequences, global const int *tables,
                      global const int *tiles, global float *y, uint heads, uint kv_heads, uint head_dim,
                      uint block_size, float scale) {
  local float query[MAX_HEAD_DIM];
  local float weight[ITEMS];
  GROUP_LOCAL(scratch);
  const uint item = get_local_id(0);
  const uint head = get_group_id(0);
  const uint tile = get_group_id(1);
  global const int *sequence = sequences + tiles[2 * tile] * 4;
  global const int *table = tables + sequence[3];
  const uint kv_head = head / (heads / kv_heads);
  const size_t row = sequence[0] + tiles[2 * tile + 1];
  const int limit = sequence[2] - sequence[1] + tiles[2 * tile + 1] + 1;
  for (uint d = item; d < head_dim; d += ITEMS) {
    query[d] = q[q_offset + row * q_stride + head * head_dim + d] * scale;
  }
  float output[MAX_HEAD_DIM / ITEMS];
  for (uint i = 0; i < MAX_HEAD_DIM / ITEMS; ++i) output[i] = 0.0f;
  float highest = -INFINITY, total = 0.0f;
  barrier(CLK_LOCAL_MEM_FENCE);

  for (int first = 0; first < limit; first += ITEMS) {
    const int token = first + (int)item;
    float score = -INFINITY;
    if (token < limit) {
      const size_t place = ((size_t)table[token / (int)block_size] * kv_heads + kv_head) * block_size +
                           token % (int)block_size;
      global const stored *key = keys + place * head_dim;
      score = 0.0f;
      for (uint d = 0; d < head_dim; ++d) score = fma(query[d], load_stored(key, d), score);
    }
    const float peak = fmax(highest, group_reduce(score, scratch, 1));
    const float p = token < limit ? exp_real(score - peak) : 0.0f;
    weight[item] = p;
    const float sum = group_reduce(p, scratch, 0);
    const float factor = exp_real(highest - peak);
    total = fma(total, factor, sum);
    highest = peak;
    const int count = min(ITEMS, limit - first);
    for (uint i = 0; i < MAX_HEAD_DIM / ITEMS; ++i) output[i] *= factor;
    for (int j = 0; j < count; ++j) {
      const int other = first + j;
      const size_t place = ((size_t)table[other / (int)block_size] * kv_heads + kv_head) * block_size +
                           other % (int)block_size;
      for (uint i = 0; i * ITEMS + item < head_dim; ++i) {
        output[i] = fma(weight[j], load_stored(values + place * head_dim, i * ITEMS + item), output[i]);
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  for (uint i = 0; i * ITEMS + item < head_dim; ++i) {
    y[(row * heads + head) * head_dim + i * ITEMS + item] = output[i] / total;
  }
}

// Writes new keys and values [rows, kv_heads · head_dim] into slots[row] = block · block_size + place.
// Launch: (kv_heads, rows) items.
kernel void store_kv(global const float *key, uint key_offset, uint key_stride, global const float *value,
                     uint value_offset, uint value_row_stride, global stored *keys, global stored *values,
                     global const int *slots, uint kv_heads, uint head_dim, uint block_size) {
  const uint head = get_global_id(0);
  const size_t row = get_global_id(1);
  const uint block = (uint)slots[row] / block_size, token = (uint)slots[row] % block_size;
  const size_t at = (((size_t)block * kv_heads + head) * block_size + token) * head_dim;
  for (uint d = 0; d < head_dim; ++d) {
    store_stored(key[key_offset + row * key_stride + head * head_dim + d], at + d, keys);
    store_stored(value[value_offset + row * value_row_stride + head * head_dim + d], at + d, values);
  }
}
