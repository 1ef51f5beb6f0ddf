// Attention within each sequence of a packed batch on GPU-class devices: a work-group takes one key head and up to
// QUERIES queries, and the sequence's keys and values pass through local memory in tiles. Where causal is 1 a row
// reads only rows up to itself; `shared` query heads that stand together read one key head.
//
//   q              [rows, heads · DIM] float, rows *_stride elements apart, from element *_offset
//   k, v           [rows, heads / shared · DIM] float, the same
//   items          [items, 4] int: the sequence's first row and its end, the item's first query of the sequence and how
//                  many it has; query n of a sequence is head n % shared of the key head's in row n / shared
//   y              [rows, heads · DIM] float, packed
//   log_sum_exp    [rows, heads] float: ln Σ exp(scale · q·k), written where wants_sums is 1
// Order: online softmax over tiles of KEYS rows from the sequence's first on.
// Launch: (ITEMS · heads / shared, items) items in groups of (ITEMS, 1). Tunable: see attention_tile, which comes
// before.
// After: attention_tile
// Check: -DDIM=32,64,128 -DQUERIES=32
// Check: -DDIM=80 -DQUERIES=16 -DTILE_ALIGNED=0

// Rows `first` to `first` + KEYS; zero from `end` on.
void fetch_rows(piece stage[STAGE], global const float *x, uint stride, int first, int end) {
  UNROLL for (uint i = 0; i < STAGE; ++i) {
    const uint unit = get_local_id(0) + i * ITEMS;
    const int row = first + (int)(unit / PIECES);
    stage[i] = (piece)(0);
    if (unit < KEYS * PIECES && row < end) {
      stage[i] = *(global const piece *)(x + (size_t)row * stride + unit % PIECES * STEP);
    }
  }
}

kernel void encoder_attention_blocks(global const float *q, uint q_offset, uint q_stride, global const float *k,
                                     uint k_offset, uint k_stride, global const float *v, uint v_offset,
                                     uint v_stride, global const int *items, global float *y,
                                     global float *log_sum_exp, int wants_sums, int causal, uint heads,
                                     uint shared, float scale) {
  local float4 memory[TILE_FLOATS / 4];
  local float highest[QUERIES], factor[QUERIES];
  local float *query = (local float *)memory, *tile = query + QUERIES * WIDTH, *score = tile + KEYS * TILE_PITCH;
  const uint item = get_local_id(0), kv_head = get_group_id(0);
  global const int *work = items + 4 * get_group_id(1);
  const int start = work[0];
  const uint first_query = work[2], count = work[3];
  for (uint n = item; n < QUERIES; n += ITEMS) highest[n] = -INFINITY;
  for (uint i = item; i < QUERIES * WIDTH; i += ITEMS) {
    const uint n = i / WIDTH, d = i % WIDTH, index = first_query + n;
    query[i] = n < count && d < DIM ? q[q_offset + (size_t)(start + index / shared) * q_stride +
                                        (kv_head * shared + index % shared) * DIM + d] * scale
                                    : 0.0f;
  }
  tile_pad(tile);
  float4 output[OUT_UNITS][OUT_ROWS];
  UNROLL for (uint i = 0; i < OUT_UNITS; ++i) {
    UNROLL for (uint r = 0; r < OUT_ROWS; ++r) output[i][r] = (float4)(0.0f);
  }
  float total = 0.0f;
  const uint mine = item / ROW_ITEMS;
  const int end = causal ? start + (int)((first_query + count - 1) / shared) + 1 : work[1];
  const int limit = mine >= count ? start : causal ? start + (int)((first_query + mine) / shared) + 1 : end;
  global const float *keys = k + k_offset + kv_head * DIM, *values = v + v_offset + kv_head * DIM;
  piece stage[STAGE];
  fetch_rows(stage, keys, k_stride, start, end);
  for (int first = start; first < end; first += KEYS) {
    tile_put(stage, tile);
    barrier(CLK_LOCAL_MEM_FENCE);
    fetch_rows(stage, values, v_stride, first, end);
    tile_scores(query, tile, score);
    barrier(CLK_LOCAL_MEM_FENCE);
    tile_put(stage, tile);
    tile_weights(score, highest, factor, limit - first);
    barrier(CLK_LOCAL_MEM_FENCE);
    fetch_rows(stage, keys, k_stride, first + KEYS, end);
    tile_values(score, tile, factor, output, &total);
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  if (item < QUERIES) {
    factor[item] = 1.0f / total;
    if (wants_sums && item < count) {
      const uint index = first_query + item;
      log_sum_exp[(size_t)(start + index / shared) * heads + kv_head * shared + index % shared] =
          highest[item] + log(total);
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  UNROLL for (uint i = 0; i < OUT_UNITS; ++i) {
    const uint unit = item + i * ITEMS, column = unit % COLUMN_GROUPS * 4;
    UNROLL for (uint r = 0; r < OUT_ROWS; ++r) {
      const uint n = unit / COLUMN_GROUPS * OUT_ROWS + r, index = first_query + n;
      if (unit < OUT_ALL && n < count) {
        global float *target =
            y + ((size_t)(start + index / shared) * heads + kv_head * shared + index % shared) * DIM;
        tile_store(output[i][r] * factor[n], target, column);
      }
    }
  }
}
