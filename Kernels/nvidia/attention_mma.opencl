// Causal grouped-query attention over a paged cache of halfs on NVIDIA's tensor cores; the work is dealt out as for
// the portable kernel (portable/attention.opencl), whose arguments these are:
//
//   q          [rows, heads · DIM] float, rows q_stride elements apart, from element q_offset
//   keys       [blocks, kv_heads, BLOCK, DIM] half
//   values     the same
//   rows       [entries, 3] int: row of q and y, tokens that it sees, its first slot in `partial`
//   items      [items, 5] int: first entry, first query, queries, first segment, segments; query n of an item is
//              query (first query + n) of those that start with its first entry, heads / kv_heads to an entry
//   segments   [segments, 5] int: start of the block table in `tables`, first token, end, and the range of the
//              item's queries to which these tokens belong
//   tables     block numbers
//   y          [rows, heads · DIM] float, packed
//   partial    [slots, heads, DIM] float: a chunk's output, not yet divided
//   sums       [slots, heads, 2] float: a chunk's maximum, times log2 e, and sum of weights
// Order, one for all launches: the tokens in chunks of SPLIT from token 0 on, each by online softmax over tiles of KEYS
// from nothing, and the chunks put together in order. A warp has 16 queries: the query heads of one row's key head in
// decode, rows and heads in prefill; all warps of a group share the tiles. Queries and weights are rounded to half
// precision, products are m16n8k16 in order of the head's and the tokens' sixteens, sums Float32. A lane sums the
// weights of its columns over a chunk, then the four lanes of a row are added. With DIRECT an item has all chunks of
// its queries in one segment; without it segments of one chunk (see the portable kernel), and attention_merge puts
// rows of several chunks together.
// A tile of keys and one of values pass through local memory: values are copied while scores are computed, the next
// keys while weights and output are. Rows are DIM + 8 halfs apart, so that eight rows lie in different banks.
// Launch: (ITEMS · kv_heads, items) items in groups of (ITEMS, 1), ITEMS = 2 · QUERIES. DIM is a multiple of 16 up to
// 128. Tunable: QUERIES, a multiple of 16; KEYS, a multiple of 16; SPLIT, a multiple of KEYS. KEYS and SPLIT decide a
// result's bits. Local memory: 4 · KEYS · (DIM + 8) bytes.
// Check: -DDIM=64,128 -DQUERIES=16,64 -DDIRECT=0,1
// Check: -DDIM=80 -DQUERIES=64 -DDIRECT=1
// What else tables may ask for (Attention+Tuning.swift), with the heads that take most registers:
// Check: -DDIM=128 -DKEYS=32,64 -DQUERIES=32,128 -DDIRECT=0,1
// Check: -DDIM=128 -DKEYS=32 -DQUERIES=16 -DDIRECT=0
#ifndef QUERIES
#define QUERIES 16
#endif
#ifndef KEYS
#define KEYS 64
#endif
#ifndef SPLIT
#define SPLIT 256
#endif
#ifndef BLOCK
#define BLOCK 16
#endif
#ifndef DIRECT
#define DIRECT 0
#endif
#pragma OPENCL FP_CONTRACT OFF
#define ITEMS (2 * QUERIES)
#define PITCH (DIM + 8)
#define PIECES (DIM / 8)
#define STEPS (DIM / 16)

#ifdef WARP_EMULATED
#define power_of_two(x) exp2(x)
// The emulation exchanges through barriers, which no warp may pass by and which make unrolled loops endless to build.
#define IDLE(condition) 0
#define UNROLL
#else
__attribute__((always_inline)) inline float power_of_two(float x) {
  float y;
  __asm__("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#define IDLE(condition) (condition)
#define UNROLL _Pragma("unroll")
#endif

// Starts the copies of tokens `first` to `first` + KEYS of a key head; zeros from `end` on.
#define COPIES ((KEYS * PIECES + ITEMS - 1) / ITEMS)
#define COPY_TILE(tile, x, table, first, end)                                                        \
  for (uint i = 0; i < COPIES; ++i) {                                                                \
    const uint unit = item + i * ITEMS;                                                              \
    const int token = (first) + (int)(unit / PIECES), known = min(token, (end) - 1);                 \
    if (KEYS * PIECES % ITEMS == 0 || unit < KEYS * PIECES) {                                        \
      const size_t place = ((size_t)(table)[known / BLOCK] * kv_heads + kv_head) * BLOCK +           \
                           known % BLOCK;                                                            \
      warp_copy16((tile) + unit / PIECES * PITCH + unit % PIECES * 8,                                \
                  (x) + place * DIM + unit % PIECES * 8, token < (end) ? 16 : 0);                    \
    }                                                                                                \
  }

// ±65504 for what is beyond; a NaN stays one, of which fmin and fmax make a number.
float half_range(float x) { return fabs(x) > 65504.0f ? copysign(65504.0f, x) : x; }

// How a chunk and the chunks before it are weighted once they are put together.
void weigh(float *highest, float *total, float chunk_highest, float chunk_total, float *before, float *now) {
  const float peak = fmax(*highest, chunk_highest);
  // Where neither has seen a token both weights are 0.
  const float base = peak == -INFINITY ? 0.0f : peak;
  *before = power_of_two(*highest - base);
  *now = power_of_two(chunk_highest - base);
  *highest = peak;
  *total = fma(*total, *before, chunk_total * *now);
}

kernel void attention(global const float *q, uint q_offset, uint q_stride, global const ushort *keys,
                      global const ushort *values, global const int *rows, global const int *items,
                      global const int *segments, global const int *tables, global float *y,
                      global float *partial, global float *sums, uint heads, uint kv_heads, float scale) {
  local uint4 memory[2 * KEYS * PITCH / 8];
  WARP_STATE(ITEMS);
  local ushort *key_tile = (local ushort *)memory, *value_tile = key_tile + KEYS * PITCH;
  const uint item = get_local_id(0), lane = item % 32, g = lane / 4, t = lane % 4;
  const uint kv_head = get_group_id(0), group = heads / kv_heads;
  global const int *work = items + get_group_id(1) * 5;
  global const int *entries = rows + 3 * work[0];
  const uint count = work[2];
  const float slope = scale * 1.44269504088896341f;

  // The lane has queries g and g + 8 of its warp's sixteen.
  const int first_of_warp = item / 32 * 16;
  int mine[2], limit[2];
  uint a[STEPS][4];
  UNROLL for (uint h = 0; h < 2; ++h) {
    mine[h] = first_of_warp + g + 8 * h;
    const uint index = work[1] + min((uint)mine[h], count - 1);
    global const int *entry = entries + 3 * (index / group);
    limit[h] = mine[h] < (int)count ? entry[1] : 0;
    global const float *from =
        q + q_offset + (size_t)entry[0] * q_stride + (kv_head * group + index % group) * DIM + 2 * t;
    UNROLL for (uint k = 0; k < STEPS; ++k) {
      UNROLL for (uint e = 0; e < 2; ++e) {
        const float low = from[16 * k + 8 * e], high = from[16 * k + 8 * e + 1];
        a[k][2 * e + h] = warp_pack_f16(half_range(low), half_range(high));
      }
    }
  }

  float output[PIECES][4], highest[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
  float all_highest[2] = {-INFINITY, -INFINITY}, all_total[2] = {0.0f, 0.0f};
#if DIRECT
  float all[PIECES][4];
#endif
  UNROLL for (uint j = 0; j < PIECES; ++j) {
    UNROLL for (uint i = 0; i < 4; ++i) {
      output[j][i] = 0.0f;
#if DIRECT
      all[j][i] = 0.0f;
#endif
    }
  }

  global const int *segment = segments + 5 * work[3], *last = segment + 5 * (work[4] - 1);
  int first = segment[1], more = 1;
  const int chunk = first / SPLIT * SPLIT;
  COPY_TILE(key_tile, keys, tables + segment[0], first, segment[2]);
  warp_copies_end();
  while (more) {
    const int end = segment[2];
    int visible[2];
    UNROLL for (uint h = 0; h < 2; ++h) {
      visible[h] = mine[h] >= segment[3] && mine[h] < segment[4] ? limit[h] - first : 0;
    }
    const int idle = IDLE(first_of_warp >= segment[4] || first_of_warp + 16 <= segment[3]);
    warp_copies_wait(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    COPY_TILE(value_tile, values, tables + segment[0], first, end);
    warp_copies_end();

    float s[KEYS / 8][4];
    UNROLL for (uint n = 0; n < KEYS / 8; ++n) s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.0f;
    if (!idle) {
      UNROLL for (uint k = 0; k < STEPS; ++k) {
        UNROLL for (uint n = 0; n < KEYS / 16; ++n) {
          uint b[4];
          warp_matrices(b, key_tile + (16 * n + lane / 16 * 8 + lane % 8) * PITCH + 16 * k + lane / 8 % 2 * 8);
          warp_mma_f16(s[2 * n], a[k], b);
          warp_mma_f16(s[2 * n + 1], a[k], b + 2);
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    int next = first + KEYS;
    if (next >= end) {
      more = segment != last;
      segment += more ? 5 : 0;
      next = segment[1];
    }
    if (more) {
      COPY_TILE(key_tile, keys, tables + segment[0], next, segment[2]);
    }
    warp_copies_end();

    UNROLL for (uint h = 0; h < 2; ++h) {
      float peak = highest[h];
      UNROLL for (uint n = 0; n < KEYS / 8; ++n) {
        UNROLL for (uint e = 0; e < 2; ++e) {
          const float x = s[n][2 * h + e] * slope;
          s[n][2 * h + e] = (int)(8 * n + 2 * t + e) < visible[h] ? x : -INFINITY;
          peak = fmax(peak, s[n][2 * h + e]);
        }
      }
      peak = fmax(peak, warp_xor(peak, 1));
      peak = fmax(peak, warp_xor(peak, 2));
      const float base = peak == -INFINITY ? 0.0f : peak;
      const float factor = power_of_two(highest[h] - base);
      highest[h] = peak;
      float sum = 0.0f;
      UNROLL for (uint n = 0; n < KEYS / 8; ++n) {
        UNROLL for (uint e = 0; e < 2; ++e) {
          s[n][2 * h + e] = power_of_two(s[n][2 * h + e] - base);
          sum += s[n][2 * h + e];
        }
      }
      total[h] = fma(total[h], factor, sum);
      UNROLL for (uint j = 0; j < PIECES; ++j) {
        output[j][2 * h] *= factor;
        output[j][2 * h + 1] *= factor;
      }
    }
    warp_copies_wait(1);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (!idle) {
      UNROLL for (uint k = 0; k < KEYS / 16; ++k) {
        uint p[4];
        p[0] = warp_pack_f16(s[2 * k][0], s[2 * k][1]);
        p[1] = warp_pack_f16(s[2 * k][2], s[2 * k][3]);
        p[2] = warp_pack_f16(s[2 * k + 1][0], s[2 * k + 1][1]);
        p[3] = warp_pack_f16(s[2 * k + 1][2], s[2 * k + 1][3]);
        UNROLL for (uint d = 0; d < STEPS; ++d) {
          uint b[4];
          warp_matrices_turned(
              b, value_tile + (16 * k + lane / 8 % 2 * 8 + lane % 8) * PITCH + 16 * d + lane / 16 * 8);
          warp_mma_f16(output[2 * d], p, b);
          warp_mma_f16(output[2 * d + 1], p, b + 2);
        }
      }
    }
#if DIRECT
    if (!more || (first + KEYS) % SPLIT == 0) {
      UNROLL for (uint h = 0; h < 2; ++h) {
        float before, now;
        total[h] += warp_xor(total[h], 1);
        total[h] += warp_xor(total[h], 2);
        weigh(&all_highest[h], &all_total[h], highest[h], total[h], &before, &now);
        highest[h] = -INFINITY;
        total[h] = 0.0f;
        UNROLL for (uint j = 0; j < PIECES; ++j) {
          UNROLL for (uint e = 2 * h; e < 2 * h + 2; ++e) {
            all[j][e] = fma(all[j][e], before, output[j][e] * now);
            output[j][e] = 0.0f;
          }
        }
      }
    }
#endif
    first = next;
  }

  UNROLL for (uint h = 0; h < 2; ++h) {
#if !DIRECT
    // A row of one chunk is that chunk put together with nothing.
    float before, now;
    total[h] += warp_xor(total[h], 1);
    total[h] += warp_xor(total[h], 2);
    weigh(&all_highest[h], &all_total[h], highest[h], total[h], &before, &now);
#endif
    if (mine[h] < (int)count) {
      const uint index = work[1] + mine[h];
      global const int *entry = entries + 3 * (index / group);
      const size_t head = kv_head * group + index % group;
      global float *target = y + ((size_t)entry[0] * heads + head) * DIM + 2 * t;
      float share = 1.0f / all_total[h];
      int write = 1;
#if !DIRECT
      write = limit[h] > chunk;
      if (limit[h] > SPLIT) {
        const size_t slot = (size_t)(entry[2] + chunk / SPLIT) * heads + head;
        target = partial + slot * DIM + 2 * t;
        share = 1.0f;
        if (write && t == 0) {
          sums[2 * slot] = highest[h];
          sums[2 * slot + 1] = total[h];
        }
      }
#endif
      if (write) {
        UNROLL for (uint j = 0; j < PIECES; ++j) {
#if DIRECT
          const float2 sum = (float2)(all[j][2 * h], all[j][2 * h + 1]);
#else
          const float2 sum = (float2)(output[j][2 * h], output[j][2 * h + 1]) + 0.0f;
#endif
          *(global float2 *)(target + 8 * j) = sum * share;
        }
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
