// Attention within each sequence of a packed batch on NVIDIA's tensor cores, operands rounded to bfloat16, sums in
// Float32; arguments are those of portable/encoder_attention_blocks:
//
//   q              [rows, heads · DIM] float, rows *_stride elements apart, from element *_offset
//   k, v           [rows, heads / shared · DIM] float, the same
//   items          [items, 4] int: the sequence's first row and its end, the item's first query of the sequence and how
//                  many it has, up to QUERIES
//   y              [rows, heads · DIM] float, packed
//   log_sum_exp    [rows, heads] float: ln Σ exp(scale · q·k), written where wants_sums is 1
// Order: online softmax over tiles of KEYS rows from the sequence's first on. Products are m16n8k16 in order of the
// head's and the rows' sixteens. A lane sums the weights of its columns, then the four lanes of a row are added.
// A warp has 16 queries, whose fragments stay in registers; all warps of a group share the tiles. Values go from
// global memory to registers while scores are computed, the next keys while weights and output are; a sixteen of keys
// that no query of the warp sees is left out.
// Launch: (ITEMS · heads / shared, items) items in groups of (ITEMS, 1), ITEMS = 2 · QUERIES. Tunable: QUERIES and KEYS,
// multiples of 16; KEYS decides a result's bits. Local memory: 4 · KEYS · (DIM + 8) bytes. encoder_tile comes before.
// After: encoder_tile
// Check: -DDIM=64 -DQUERIES=32,64,128 -DKEYS=32
// Check: -DDIM=64 -DQUERIES=64,128 -DKEYS=64
// Check: -DDIM=64 -DQUERIES=32 -DKEYS=64 | spills 8
// Check: -DDIM=32 -DQUERIES=64 -DKEYS=64
// Check: -DDIM=128 -DQUERIES=64 -DKEYS=32
// Check: -DDIM=80 -DQUERIES=64 -DKEYS=32 -DROWS_ALIGNED=0
#ifndef QUERIES
#define QUERIES 64
#endif
#ifndef KEYS
#define KEYS 64
#endif
#define ITEMS (2 * QUERIES)

#define FETCH_ROWS(x, stride, first) \
  FETCH_TILE(stage, KEYS, ITEMS, (first) + r < end, (x) + (size_t)((first) + r) * (stride))

kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void encoder_attention_mma(
    global const float *q, uint q_offset, uint q_stride, global const float *k, uint k_offset, uint k_stride,
    global const float *v, uint v_offset, uint v_stride, global const int *items, global float *y,
    global float *log_sum_exp, int wants_sums, int causal, uint heads, uint shared, float scale) {
  local uint4 memory[2 * KEYS * PITCH / 8];
  WARP_STATE(ITEMS);
  local ushort *key_tile = (local ushort *)memory, *value_tile = key_tile + KEYS * PITCH;
  const uint item = get_local_id(0), lane = item % 32, g = lane / 4, t = lane % 4;
  const uint kv_head = get_group_id(0);
  global const int *work = items + 4 * get_group_id(1);
  const int start = work[0];
  const uint first_query = work[2], count = work[3];
  const float slope = scale * LOG2_E;

  // The lane has queries g and g + 8 of its warp's sixteen.
  const uint first_of_warp = item / 32 * 16;
  int limit[2];
  uint a[STEPS][4];
  const int end = causal ? start + (int)((first_query + count - 1) / shared) + 1 : work[1];
  UNROLL for (uint h = 0; h < 2; ++h) {
    const uint n = first_of_warp + g + 8 * h, index = first_query + min(n, count - 1);
    const int row = start + (int)(index / shared);
    limit[h] = n >= count ? start : causal ? row + 1 : end;
    global const float *from =
        q + q_offset + (size_t)row * q_stride + (kv_head * shared + index % shared) * DIM;
    FETCH_LEFT(a, h, from, slope);
  }
  const uint last_of_warp = first_query + min(first_of_warp + 15, count - 1);
  const int warp_end = first_of_warp >= count ? start : causal ? start + (int)(last_of_warp / shared) + 1 : end;

  float output[PIECES][4], highest[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
  UNROLL for (uint j = 0; j < PIECES; ++j) output[j][0] = output[j][1] = output[j][2] = output[j][3] = 0.0f;
  global const float *keys = k + k_offset + kv_head * DIM, *values = v + v_offset + kv_head * DIM;
  float4 stage[SHARE(KEYS, ITEMS)];
  FETCH_ROWS(keys, k_stride, start);
  for (int first = start; first < end; first += KEYS) {
    // Keys that some query of the warp sees.
    const int seen = warp_end - first;
    PUT_TILE(key_tile, stage, KEYS, ITEMS, 1.0f);
    barrier(CLK_LOCAL_MEM_FENCE);
    FETCH_ROWS(values, v_stride, first);
    float s[KEYS / 8][4];
    UNROLL for (uint n = 0; n < KEYS / 8; ++n) s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.0f;
    UNROLL for (uint part = 0; part < KEYS / 16; ++part) {
      if (WANTED((int)(16 * part) < seen)) {
        UNROLL for (uint step = 0; step < STEPS; ++step) {
          uint b[4];
          RIGHT_ROWS(b, key_tile, 16 * part, step);
          ADD_SIXTEEN(s + 2 * part, a[step], b);
        }
      }
    }
    UNROLL for (uint h = 0; h < 2; ++h) {
      const int visible = limit[h] - first;
      float peak = highest[h];
      if (visible < KEYS) {
        UNROLL for (uint n = 0; n < KEYS / 8; ++n) {
          UNROLL for (uint e = 0; e < 2; ++e) {
            if ((int)(8 * n + 2 * t + e) >= visible) s[n][2 * h + e] = -INFINITY;
          }
        }
      }
      UNROLL for (uint n = 0; n < KEYS / 8; ++n) peak = fmax(peak, fmax(s[n][2 * h], s[n][2 * h + 1]));
      peak = fmax(peak, warp_xor(peak, 1));
      peak = fmax(peak, warp_xor(peak, 2));
      // Where the row has seen nothing yet all weights are 0.
      const float base = peak == -INFINITY ? 0.0f : peak;
      const float factor = power_of_two(highest[h] - base);
      highest[h] = peak;
      float sum = 0.0f;
      UNROLL for (uint n = 0; n < KEYS / 8; ++n) {
        UNROLL for (uint e = 2 * h; e < 2 * h + 2; ++e) {
          s[n][e] = power_of_two(s[n][e] - base);
          sum += s[n][e];
        }
      }
      total[h] = fma(total[h], factor, sum);
      UNROLL for (uint j = 0; j < PIECES; ++j) {
        output[j][2 * h] *= factor;
        output[j][2 * h + 1] *= factor;
      }
    }
    PUT_TILE(value_tile, stage, KEYS, ITEMS, 1.0f);
    // All have read the keys, too.
    barrier(CLK_LOCAL_MEM_FENCE);
    FETCH_ROWS(keys, k_stride, first + KEYS);
    UNROLL for (uint part = 0; part < KEYS / 16; ++part) {
      if (WANTED((int)(16 * part) < seen)) {
        uint p[4];
        SUMS_AS_LEFT(p, s + 2 * part);
        ADD_PRODUCT(output, p, value_tile, 16 * part);
      }
    }
  }

  UNROLL for (uint h = 0; h < 2; ++h) {
    total[h] += warp_xor(total[h], 1);
    total[h] += warp_xor(total[h], 2);
    const uint n = first_of_warp + g + 8 * h, index = first_query + n;
    if (n < count) {
      const size_t row = start + index / shared, head = kv_head * shared + index % shared;
      global float *target = y + (row * heads + head) * DIM + 2 * t;
      const float share = 1.0f / total[h];
      UNROLL for (uint j = 0; j < PIECES; ++j) {
        *(global float2 *)(target + 8 * j) = (float2)(output[j][2 * h], output[j][2 * h + 1]) * share;
      }
      if (wants_sums && t == 0) log_sum_exp[row * heads + head] = (highest[h] + log2(total[h])) * LN_2;
    }
  }
}
