// The gradient of attention within each sequence of a packed batch on NVIDIA's tensor cores, operands, weights and
// slopes rounded to bfloat16, sums in Float32. Weights come again from the log-sum-exp (FlashAttention-2, Dao 2023):
// p = exp(scale · q·k − lse), ds = p · (do·v − do·o); dv = Σ p · do, dk = scale · Σ ds · q, dq = scale · Σ ds · k.
// Arguments are those of portable/encoder_attention_gradient, but for the lists of work:
//
//   q, gradient    [rows, heads · DIM] float, rows *_stride elements apart, from element *_offset
//   k, v           [rows, heads / shared · DIM] float, the same
//   output         [rows, heads · DIM] float, the same: the forward's
//   sums           [rows, heads] float, the same: the forward's log-sum-exp
//   products       [rows, heads] float, packed: do·o, which the first kernel writes and the second reads
//   items          [items, 4] int: the sequence's first row and its end, the item's first query of the sequence and how
//                  many it has; in the second kernel rows of keys instead of queries
//   result         [rows, (heads + 2 · heads / shared) · DIM] float, packed: dq, dk, dv side by side
// Order: dq over the sixteens of keys from the sequence's first row on; dk and dv over the sixteens of queries, from the
// sequence's first one on. do·o: a lane has the columns of its fragments, then the four lanes of a row are added.
// A warp has 16 queries (keys) and their sums in registers; the other side passes through local memory in tiles of TILE,
// of which the next is on its way to registers while one is used. The second kernel has scores turned, a row a key, so
// that weights and slopes are left fragments as they stand. Its keys and values are fragments in registers up to a head
// size of 64, above that they are read from local memory at every use. A sixteen that the warp's rows do not meet
// (causal) is left out.
// Launch: (ITEMS · heads / shared, items) items in groups of (ITEMS, 1), ITEMS = 32 · WARPS, and up to 16 · WARPS
// queries or keys an item. Tunable, where DIM is up to 64: WARPS; TILE, a multiple of 16. Local memory: 4 · TILE ·
// (DIM + 10) bytes, and 64 · WARPS · (DIM + 8) where keys are not held. encoder_tile comes before.
// After: encoder_tile
// Check: -DDIM=64 -DWARPS=2,4,8 -DTILE=16,32
// Check: -DDIM=32 -DWARPS=4 -DTILE=32
// Check: -DDIM=128 -DWARPS=4 -DTILE=16
// Check: -DDIM=80 -DWARPS=4 -DTILE=16 -DROWS_ALIGNED=0
#ifndef WARPS
#define WARPS 4
#endif
#ifndef TILE
#define TILE 32
#endif
#define ITEMS (32 * WARPS)
#define ROWS (16 * WARPS)
#define KEYS_HELD (DIM <= 64)

// products[2][2][4]: 16 rows of the warp by 16 of the tiles, of both kinds of operands; `left_of` declares a, the left
// fragment of a kind and step.
#define MULTIPLY_BOTH(products, left_of, tiles, part)                                              \
  UNROLL for (uint side = 0; side < 2; ++side) {                                                   \
    UNROLL for (uint e = 0; e < 4; ++e) (products)[side][0][e] = (products)[side][1][e] = 0.0f;    \
  }                                                                                                \
  UNROLL for (uint step = 0; step < STEPS; ++step) {                                               \
    UNROLL for (uint side = 0; side < 2; ++side) {                                                 \
      uint b[4];                                                                                   \
      left_of(a, side, step);                                                                      \
      RIGHT_ROWS(b, (tiles) + side * TILE * PITCH, part, step);                                    \
      ADD_SIXTEEN((products)[side], a, b);                                                         \
    }                                                                                              \
  }

#define HELD_LEFT(a, side, step) const uint *a = held[side][step]

#define FETCH_KEYS(stage, x, stride, first) \
  FETCH_TILE(stage, TILE, ITEMS, (first) + r < end, (x) + (size_t)((first) + r) * (stride))

kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void encoder_attention_query_gradient_mma(
    global const float *q, uint q_offset, uint q_stride, global const float *k, uint k_offset, uint k_stride,
    global const float *v, uint v_offset, uint v_stride, global const float *gradient, uint gradient_offset,
    uint gradient_stride, global const float *output, uint output_offset, uint output_stride,
    global const float *sums, uint sums_offset, uint sums_stride, global float *products, global const int *items,
    global float *result, uint heads, uint shared, int causal, float scale) {
  local uint4 memory[2 * TILE * PITCH / 8];
  WARP_STATE(ITEMS);
  // Keys, then values.
  local ushort *tiles = (local ushort *)memory;
  const uint item = get_local_id(0), lane = item % 32, g = lane / 4, t = lane % 4;
  const uint kv_head = get_group_id(0);
  global const int *work = items + 4 * get_group_id(1);
  const int start = work[0];
  const uint first_query = work[2], count = work[3];
  const int end = causal ? start + (int)((first_query + count - 1) / shared) + 1 : work[1];
  const uint first_of_warp = item / 32 * 16;

  // The lane has queries g and g + 8 of its warp's sixteen, and their slopes of the output.
  uint held[2][STEPS][4];
  int limit[2];
  float sum[2], product[2];
  UNROLL for (uint h = 0; h < 2; ++h) {
    const uint n = first_of_warp + g + 8 * h, index = first_query + min(n, count - 1);
    const size_t row = start + index / shared, head = kv_head * shared + index % shared;
    limit[h] = n >= count ? start : causal ? (int)row + 1 : end;
    FETCH_LEFT(held[0], h, q + q_offset + row * q_stride + head * DIM, scale * LOG2_E);
    global const float *slopes = gradient + gradient_offset + row * gradient_stride + head * DIM;
    global const float *results = output + output_offset + row * output_stride + head * DIM;
    FETCH_LEFT(held[1], h, slopes, 1.0f);
    float dot = 0.0f;
    UNROLL for (uint j = 0; j < PIECES; ++j) {
      const float2 x = fetch2(slopes + 8 * j + 2 * t), y = fetch2(results + 8 * j + 2 * t);
      dot = fma(x.y, y.y, fma(x.x, y.x, dot));
    }
    dot += warp_xor(dot, 1);
    dot += warp_xor(dot, 2);
    product[h] = dot;
    sum[h] = sums[sums_offset + row * sums_stride + head] * LOG2_E;
    if (n < count && t == 0) products[row * heads + head] = dot;
  }
  const uint last_of_warp = first_query + min(first_of_warp + 15, count - 1);
  const int warp_end = first_of_warp >= count ? start : causal ? start + (int)(last_of_warp / shared) + 1 : end;

  float total[PIECES][4];
  UNROLL for (uint j = 0; j < PIECES; ++j) total[j][0] = total[j][1] = total[j][2] = total[j][3] = 0.0f;
  global const float *keys = k + k_offset + kv_head * DIM, *values = v + v_offset + kv_head * DIM;
  float4 of_keys[SHARE(TILE, ITEMS)], of_values[SHARE(TILE, ITEMS)];
  FETCH_KEYS(of_keys, keys, k_stride, start);
  FETCH_KEYS(of_values, values, v_stride, start);
  for (int first = start; first < end; first += TILE) {
    PUT_TILE(tiles, of_keys, TILE, ITEMS, 1.0f);
    PUT_TILE(tiles + TILE * PITCH, of_values, TILE, ITEMS, 1.0f);
    barrier(CLK_LOCAL_MEM_FENCE);
    FETCH_KEYS(of_keys, keys, k_stride, first + TILE);
    FETCH_KEYS(of_values, values, v_stride, first + TILE);
    const int seen = warp_end - first;
    UNROLL for (uint part = 0; part < TILE; part += 16) {
      if (WANTED((int)part < seen)) {
        float x[2][2][4];
        MULTIPLY_BOTH(x, HELD_LEFT, tiles, part);
        UNROLL for (uint n = 0; n < 2; ++n) {
          UNROLL for (uint e = 0; e < 4; ++e) {
            const int visible = first + (int)(part + 8 * n + 2 * t + e % 2) < limit[e / 2];
            const float p = visible ? power_of_two(x[0][n][e] - sum[e / 2]) : 0.0f;
            x[0][n][e] = p * (x[1][n][e] - product[e / 2]);
          }
        }
        uint slopes[4];
        SUMS_AS_LEFT(slopes, x[0]);
        ADD_PRODUCT(total, slopes, tiles, part);
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  const size_t width = (heads + 2 * (heads / shared)) * DIM;
  UNROLL for (uint h = 0; h < 2; ++h) {
    const uint n = first_of_warp + g + 8 * h, index = first_query + n;
    if (n < count) {
      global float *target = result + (start + index / shared) * width + (kv_head * shared + index % shared) * DIM;
      UNROLL for (uint j = 0; j < PIECES; ++j) {
        *(global float2 *)(target + 8 * j + 2 * t) = (float2)(total[j][2 * h], total[j][2 * h + 1]) * scale;
      }
    }
  }
}

// The place of query r of a tile that begins with query `first` in rows `stride` elements apart.
#define FETCH_QUERIES(stage, x, stride, first)                                                     \
  FETCH_TILE(stage, TILE, ITEMS, (first) + r < queries,                                            \
             (x) + (size_t)(start + ((first) + r) / shared) * (stride) + ((first) + r) % shared * DIM)

#if KEYS_HELD
#define KEY_LEFT HELD_LEFT
#else
// Rows of the warp's sixteen as a left fragment.
#define KEY_LEFT(a, side, step)                                                                    \
  uint a[4];                                                                                       \
  warp_matrices(a, own_tiles + ((side) * ROWS + item / 32 * 16 + lane % 16) * PITCH + 16 * (step) + lane / 16 * 8)
#endif

kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void encoder_attention_key_gradient_mma(
    global const float *q, uint q_offset, uint q_stride, global const float *k, uint k_offset, uint k_stride,
    global const float *v, uint v_offset, uint v_stride, global const float *gradient, uint gradient_offset,
    uint gradient_stride, global const float *sums, uint sums_offset, uint sums_stride,
    global const float *products, global const int *items, global float *result, uint heads, uint shared,
    int causal, float scale) {
  local uint4 memory[2 * TILE * PITCH / 8];
  // Of a tile's queries: log-sum-exp times log2 e, and do·o.
  local float query_sums[TILE], query_products[TILE];
#if !KEYS_HELD
  local uint4 own[2 * ROWS * PITCH / 8];
#endif
  WARP_STATE(ITEMS);
  // Queries, then slopes of their outputs.
  local ushort *tiles = (local ushort *)memory;
  const uint item = get_local_id(0), lane = item % 32, g = lane / 4, t = lane % 4;
  const uint kv_head = get_group_id(0);
  global const int *work = items + 4 * get_group_id(1);
  const int start = work[0];
  const uint queries = (work[1] - start) * shared;
  const uint first_key = work[2], count = work[3];
  const uint first_of_warp = item / 32 * 16;

  // The lane has keys g and g + 8 of its warp's sixteen. Those past the item's stay within it, and are not written.
  global const float *keys = k + k_offset + kv_head * DIM, *values = v + v_offset + kv_head * DIM;
#if KEYS_HELD
  uint held[2][STEPS][4];
  UNROLL for (uint h = 0; h < 2; ++h) {
    const size_t row = start + first_key + min(first_of_warp + g + 8 * h, count - 1);
    FETCH_LEFT(held[0], h, keys + row * k_stride, 1.0f);
    FETCH_LEFT(held[1], h, values + row * v_stride, 1.0f);
  }
#else
  local ushort *own_tiles = (local ushort *)own;
  for (uint unit = item; unit < ROWS * FOURS; unit += ITEMS) {
    const size_t row = start + first_key + min(unit / FOURS, count - 1);
    const uint place = unit / FOURS * PITCH + unit % FOURS * 4;
    *(local uint2 *)(own_tiles + place) = pack4(fetch4(keys + row * k_stride + unit % FOURS * 4));
    *(local uint2 *)(own_tiles + ROWS * PITCH + place) = pack4(fetch4(values + row * v_stride + unit % FOURS * 4));
  }
#endif
  // Queries from these on see the lane's keys.
  uint from[2];
  UNROLL for (uint h = 0; h < 2; ++h) {
    from[h] = causal ? (first_key + min(first_of_warp + g + 8 * h, count - 1)) * shared : 0;
  }
  const uint warp_from = first_of_warp >= count ? queries : causal ? (first_key + first_of_warp) * shared : 0;
  const uint begin = causal ? first_key * shared : 0;

  // Of keys, then of values.
  float total[2][PIECES][4];
  UNROLL for (uint j = 0; j < PIECES; ++j) {
    UNROLL for (uint e = 0; e < 4; ++e) total[0][j][e] = total[1][j][e] = 0.0f;
  }
  global const float *all_queries = q + q_offset + kv_head * shared * DIM;
  global const float *all_slopes = gradient + gradient_offset + kv_head * shared * DIM;
  float4 of_queries[SHARE(TILE, ITEMS)], of_slopes[SHARE(TILE, ITEMS)];
  FETCH_QUERIES(of_queries, all_queries, q_stride, begin);
  FETCH_QUERIES(of_slopes, all_slopes, gradient_stride, begin);
  for (uint first = begin; first < queries; first += TILE) {
    PUT_TILE(tiles, of_queries, TILE, ITEMS, scale * LOG2_E);
    PUT_TILE(tiles + TILE * PITCH, of_slopes, TILE, ITEMS, 1.0f);
    if (item < TILE) {
      const uint n = first + item, head = kv_head * shared + n % shared;
      const size_t row = start + n / shared;
      // Weights of queries past the last are 0.
      query_sums[item] = n < queries ? sums[sums_offset + row * sums_stride + head] * LOG2_E : INFINITY;
      query_products[item] = n < queries ? products[row * heads + head] : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    FETCH_QUERIES(of_queries, all_queries, q_stride, first + TILE);
    FETCH_QUERIES(of_slopes, all_slopes, gradient_stride, first + TILE);
    UNROLL for (uint part = 0; part < TILE; part += 16) {
      if (WANTED(first + part < queries && first + part + 16 > warp_from)) {
        float x[2][2][4];
        MULTIPLY_BOTH(x, KEY_LEFT, tiles, part);
        UNROLL for (uint n = 0; n < 2; ++n) {
          UNROLL for (uint e = 0; e < 4; ++e) {
            const uint of_query = part + 8 * n + 2 * t + e % 2;
            const float p = first + of_query < from[e / 2] ? 0.0f : power_of_two(x[0][n][e] - query_sums[of_query]);
            x[0][n][e] = p * (x[1][n][e] - query_products[of_query]);
            x[1][n][e] = p;
          }
        }
        // Slopes with queries, weights with slopes of outputs.
        UNROLL for (uint side = 0; side < 2; ++side) {
          uint left[4];
          SUMS_AS_LEFT(left, x[side]);
          ADD_PRODUCT(total[side], left, tiles + side * TILE * PITCH, part);
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  const uint kv_heads = heads / shared;
  const size_t width = (heads + 2 * kv_heads) * DIM;
  UNROLL for (uint h = 0; h < 2; ++h) {
    const uint n = first_of_warp + g + 8 * h;
    if (n < count) {
      global float *target = result + (start + first_key + n) * width + (heads + kv_head) * DIM + 2 * t;
      UNROLL for (uint j = 0; j < PIECES; ++j) {
        // Queries are scale · log2 e times themselves.
        *(global float2 *)(target + 8 * j) = (float2)(total[0][j][2 * h], total[0][j][2 * h + 1]) * LN_2;
        *(global float2 *)(target + kv_heads * DIM + 8 * j) =
            (float2)(total[1][j][2 * h], total[1][j][2 * h + 1]);
      }
    }
  }
}
