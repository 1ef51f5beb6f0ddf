// A tile of queries against tiles of keys and values in local memory: what the attention kernels of GPU-class
// devices share. It stands between vector_math (VEC 1) and a kernel that fetches the tiles.
//
// Each query keeps a running maximum, the sum of its weights and its output; a tile of keys updates them:
//   scores     s = q · k, summed over d in order
//   weights    the maximum, then p = exp(s − maximum) in place of the scores; 0 for keys that a query may not see
//   values     output = output · factor + Σ p · v, in the order of the keys; the sum of the weights alike
// So a query's bits depend on the order of its tiles alone, neither on QUERIES nor on the other queries of a tile.
//
// Local memory: queries [QUERIES][WIDTH], one tile of keys or values [KEYS][TILE_PITCH], scores
// [QUERIES][SCORE_PITCH], and per query the maximum, a factor and how many keys it sees.
// An item has QUERIES · KEYS / ITEMS scores of one key, and OUT_ROWS queries × 4 columns of the output, OUT_UNITS
// times. Item i below QUERIES also has the sum of the weights of query i.
//
// Macros: DIM, the head size; QUERIES and KEYS of a tile; ITEMS of a work-group; KV_HALF where keys and values are
// halfs; TILE_ALIGNED where rows of keys and values start at multiples of 16 bytes as far as DIM allows. ITEMS must be a
// multiple of KEYS and of QUERIES, and QUERIES one of ITEMS / KEYS. Tunable: QUERIES, KEYS, ITEMS; of these KEYS
// alone decides a result's bits.
// Check: -DDIM=64
#pragma OPENCL FP_CONTRACT OFF
#ifndef QUERIES
#define QUERIES 16
#endif
#ifndef KEYS
#define KEYS 32
#endif
#ifndef ITEMS
#define ITEMS 128
#endif
#ifndef KV_HALF
#define KV_HALF 0
#endif
#ifndef TILE_ALIGNED
#define TILE_ALIGNED 1
#endif
#define WIDTH ((DIM + 3) / 4 * 4)
#define TILE_PITCH (WIDTH + 4)
#define SCORE_PITCH (KEYS + 4)
#define SCORE_ROWS (QUERIES * KEYS / ITEMS)
#define ROW_ITEMS (ITEMS / QUERIES)
#define COLUMN_GROUPS (WIDTH / 4)
#if COLUMN_GROUPS * QUERIES <= ITEMS
#define OUT_ROWS 1
#elif COLUMN_GROUPS * QUERIES <= 2 * ITEMS
#define OUT_ROWS 2
#elif COLUMN_GROUPS * QUERIES <= 4 * ITEMS || QUERIES == 4
#define OUT_ROWS 4
#else
#define OUT_ROWS 8
#endif
#define OUT_ALL (COLUMN_GROUPS * (QUERIES / OUT_ROWS))
#define OUT_UNITS ((OUT_ALL + ITEMS - 1) / ITEMS)

// A piece is what one load brings; a tile is KEYS · PIECES of them, STAGE an item.
#if KV_HALF
typedef ushort stored;
#if DIM % 8 == 0 && TILE_ALIGNED
#define STEP 8
typedef uint4 piece;
#elif DIM % 4 == 0 && TILE_ALIGNED
#define STEP 4
typedef uint2 piece;
#else
#define STEP 1
typedef ushort piece;
#endif
#else
typedef float stored;
#if DIM % 4 == 0 && TILE_ALIGNED
#define STEP 4
typedef float4 piece;
#else
#define STEP 1
typedef float piece;
#endif
#endif
#define PIECES (DIM / STEP)
#define STAGE ((KEYS * PIECES + ITEMS - 1) / ITEMS)
#define TILE_FLOATS (QUERIES * WIDTH + KEYS * TILE_PITCH + QUERIES * SCORE_PITCH)

// Arrays that stand for registers need loops without a counter.
#ifndef UNROLL
#define UNROLL _Pragma("unroll")
#endif
#define LOAD4(p) (*(local const float4 *)(p))

// Sets the columns beyond DIM to zero, where there are any; they stay so.
void tile_pad(local float *tile) {
#if WIDTH > DIM
  for (uint key = get_local_id(0); key < KEYS; key += ITEMS) {
    for (uint d = DIM; d < WIDTH; ++d) tile[key * TILE_PITCH + d] = 0.0f;
  }
#endif
}

// Widens the fetched pieces into the tile.
void tile_put(const piece stage[STAGE], local float *tile) {
  UNROLL for (uint i = 0; i < STAGE; ++i) {
    const uint unit = get_local_id(0) + i * ITEMS;
    if (unit < KEYS * PIECES) {
      local float *target = tile + unit / PIECES * TILE_PITCH + unit % PIECES * STEP;
#if KV_HALF && STEP == 8
      const ushort8 bits = as_ushort8(stage[i]);
      *(local float4 *)target = vload_half4(0, (const half *)&bits);
      *(local float4 *)(target + 4) = vload_half4(1, (const half *)&bits);
#elif KV_HALF && STEP == 4
      const ushort4 bits = as_ushort4(stage[i]);
      *(local float4 *)target = vload_half4(0, (const half *)&bits);
#elif KV_HALF
      const ushort bits = stage[i];
      *target = vload_half(0, (const half *)&bits);
#elif STEP == 4
      *(local float4 *)target = stage[i];
#else
      *target = stage[i];
#endif
    }
  }
}

void tile_scores(local const float *query, local const float *tile, local float *score) {
  const uint key = get_local_id(0) % KEYS, first = get_local_id(0) / KEYS * SCORE_ROWS;
  float sum[SCORE_ROWS];
  UNROLL for (uint i = 0; i < SCORE_ROWS; ++i) sum[i] = 0.0f;
  for (uint d = 0; d < WIDTH; d += 4) {
    const float4 k = LOAD4(tile + key * TILE_PITCH + d);
    UNROLL for (uint i = 0; i < SCORE_ROWS; ++i) {
      const float4 x = LOAD4(query + (first + i) * WIDTH + d);
      sum[i] = fma(x.w, k.w, fma(x.z, k.z, fma(x.y, k.y, fma(x.x, k.x, sum[i]))));
    }
  }
  UNROLL for (uint i = 0; i < SCORE_ROWS; ++i) score[(first + i) * SCORE_PITCH + key] = sum[i];
}

// Keys from `visible` on do not count for the item's row, get_local_id(0) / ROW_ITEMS.
void tile_weights(local float *score, local float *highest, local float *factor, int visible) {
  const uint row = get_local_id(0) / ROW_ITEMS, part = get_local_id(0) % ROW_ITEMS;
  local float *line = score + row * SCORE_PITCH;
  const float before = highest[row];
  float peak = before;
  for (int key = 0; key < min(visible, KEYS); ++key) peak = fmax(peak, line[key]);
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int key = part; key < KEYS; key += ROW_ITEMS) {
    line[key] = key < visible ? exp_real(line[key] - peak) : 0.0f;
  }
  if (part == 0) {
    factor[row] = visible > 0 ? exp_real(before - peak) : 1.0f;
    highest[row] = peak;
  }
}

void tile_values(local const float *weight, local const float *tile, local const float *factor,
                 float4 output[OUT_UNITS][OUT_ROWS], float *total) {
  const uint item = get_local_id(0);
  UNROLL for (uint i = 0; i < OUT_UNITS; ++i) {
    const uint unit = item + i * ITEMS;
    if (unit < OUT_ALL) {
      const uint row = unit / COLUMN_GROUPS * OUT_ROWS;
      local const float *column = tile + unit % COLUMN_GROUPS * 4;
      UNROLL for (uint r = 0; r < OUT_ROWS; ++r) output[i][r] *= factor[row + r];
      for (uint key = 0; key < KEYS; key += 4) {
        const float4 v0 = LOAD4(column + key * TILE_PITCH), v1 = LOAD4(column + (key + 1) * TILE_PITCH);
        const float4 v2 = LOAD4(column + (key + 2) * TILE_PITCH), v3 = LOAD4(column + (key + 3) * TILE_PITCH);
        UNROLL for (uint r = 0; r < OUT_ROWS; ++r) {
          const float4 p = LOAD4(weight + (row + r) * SCORE_PITCH + key);
          output[i][r] = fma((float4)(p.w), v3, fma((float4)(p.z), v2,
                         fma((float4)(p.y), v1, fma((float4)(p.x), v0, output[i][r]))));
        }
      }
    }
  }
  if (item < QUERIES) {
    float sum = 0.0f;
    for (uint key = 0; key < KEYS; key += 4) {
      const float4 p = LOAD4(weight + item * SCORE_PITCH + key);
      sum = sum + p.x + p.y + p.z + p.w;
    }
    *total = fma(*total, factor[item], sum);
  }
}

// Columns `column` to `column` + 4 of a row of results.
void tile_store(float4 x, global float *row, uint column) {
#if DIM % 4 == 0
  *(global float4 *)(row + column) = x;
#else
  const float values[4] = {x.x, x.y, x.z, x.w};
  for (uint i = 0; i < 4 && column + i < DIM; ++i) row[column + i] = values[i];
#endif
}
