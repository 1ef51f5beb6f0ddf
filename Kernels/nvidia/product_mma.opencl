// y = op(a) op(b) + bias, or y += …, on NVIDIA's tensor cores: operands rounded to bfloat16, sums in Float32.
//
//   a     element (i, k) at a_offset + i · a_row + k · a_term; a_row is 1 with TURNED_A, else a_term is
//   b     element (k, j) at b_offset + k · b_term + j · b_column; b_column is 1 with TURNED_B, else b_term is
//   bias  [n] float from element bias_offset, read where has_bias
//   y     [m, n] float, rows y_stride elements apart, from element y_offset; added to where accumulate
// Order of sums: what is there plus the bias, then the terms, 32 after 32 by two m16n8k16 instructions each (of
// k's 8t … 8t+7 that lane t of a row holds, the first four, then the others): the same for every m and n.
// Tiles of 32 k's go from global memory to registers while the one before is multiplied, then as bfloat16 to one of
// two buffers in local memory, 16 bytes for 8 k's of a row. Where rows lie along neighbouring addresses, neighbouring
// items read neighbouring rows, so nothing need be transposed later. The four pieces of a row are exchanged by XOR, so
// that neither writing a column of pieces nor reading rows of them has bank conflicts.
// Launch: groups of 32 · WARPS_M · WARPS_N items in one dimension, (ceil(n / (32 · WARPS_N)), ceil(m / (64 · WARPS_M)))
// groups; a warp has 64 × 32 elements. Tunable: WARPS_M, WARPS_N. Local memory: 4 · (64 · WARPS_M + 32 · WARPS_N) · 32
// bytes.
// Check: -DTURNED_A=0,1 -DTURNED_B=0,1 -DWARPS_M=2 -DWARPS_N=4
// Check: -DTURNED_A=0,1 -DTURNED_B=0,1 -DWARPS_M=1 -DWARPS_N=2
// What else tables may ask for (Product+Tuning.swift):
// Check: -DTURNED_A=0 -DTURNED_B=0 -DWARPS_M=1 -DWARPS_N=4,8
// Check: -DTURNED_A=0 -DTURNED_B=0 -DWARPS_M=2,4 -DWARPS_N=1,2
#ifndef TURNED_A
#define TURNED_A 0
#endif
#ifndef TURNED_B
#define TURNED_B 0
#endif
#ifndef WARPS_M
#define WARPS_M 2
#endif
#ifndef WARPS_N
#define WARPS_N 4
#endif
#define SPAN 32u
#define GROUP_ITEMS (32 * WARPS_M * WARPS_N)
#define TILE_M (64 * WARPS_M)
#define TILE_N (32 * WARPS_N)
#define STAGE ((TILE_M + TILE_N) * 4)
// Pieces of 8 k's that an item carries of each operand.
#define PIECES_A (TILE_M * 4 / GROUP_ITEMS)
#define PIECES_B (TILE_N * 4 / GROUP_ITEMS)

// The row of a tile and the quarter of its span that a piece is.
#define piece_row(piece, turned, tile) ((turned) ? (piece) % (tile) : (piece) / 4)
#define piece_quarter(piece, turned, tile) ((turned) ? (piece) / (tile) : (piece) % 4)
#define place_of(row, quarter) ((row) * 4 + ((quarter) ^ ((row) / 2 & 3)))

// Eight k's of a row: `step` elements apart; zeros past K.
float8 fetch8(global const float *from, uint step, uint k, uint K, int aligned) {
  from += (size_t)k * step;
  if (k + 8 <= K) {
    if (step == 1 && aligned) {
      const float4 low = *(global const float4 *)from, high = *(global const float4 *)(from + 4);
      return (float8)(low, high);
    }
    return (float8)(from[0], from[step], from[2 * step], from[3 * step], from[4 * step], from[5 * step],
                    from[6 * step], from[7 * step]);
  }
  float8 v = (float8)(0.0f);
  if (k < K) v.s0 = from[0];
  if (k + 1 < K) v.s1 = from[step];
  if (k + 2 < K) v.s2 = from[2 * step];
  if (k + 3 < K) v.s3 = from[3 * step];
  if (k + 4 < K) v.s4 = from[4 * step];
  if (k + 5 < K) v.s5 = from[5 * step];
  if (k + 6 < K) v.s6 = from[6 * step];
  return v;
}

uint4 pack8(float8 v) {
  return (uint4)(warp_pack_bf16(v.s0, v.s1), warp_pack_bf16(v.s2, v.s3), warp_pack_bf16(v.s4, v.s5),
                 warp_pack_bf16(v.s6, v.s7));
}

#define fetch_span(span)                                                                                       \
  warp_unroll for (uint p = 0; p < PIECES_A; ++p) {                                                            \
    const uint piece = item + p * GROUP_ITEMS, k = (span) * SPAN + piece_quarter(piece, TURNED_A, TILE_M) * 8; \
    const uint row = min(first_row + piece_row(piece, TURNED_A, TILE_M), m - 1);                               \
    ahead_a[p] = fetch8(a + (size_t)row * (TURNED_A ? 1 : a_row), TURNED_A ? a_term : 1, k, K, aligned_a);     \
  }                                                                                                            \
  warp_unroll for (uint p = 0; p < PIECES_B; ++p) {                                                            \
    const uint piece = item + p * GROUP_ITEMS, k = (span) * SPAN + piece_quarter(piece, TURNED_B, TILE_N) * 8; \
    const uint row = min(first_column + piece_row(piece, TURNED_B, TILE_N), n - 1);                            \
    ahead_b[p] = fetch8(b + (size_t)row * (TURNED_B ? 1 : b_column), TURNED_B ? b_term : 1, k, K, aligned_b);  \
  }

#define store_span(stage)                                                                                       \
  warp_unroll for (uint p = 0; p < PIECES_A; ++p) {                                                             \
    const uint piece = item + p * GROUP_ITEMS;                                                                  \
    (stage)[place_of(piece_row(piece, TURNED_A, TILE_M), piece_quarter(piece, TURNED_A, TILE_M))] =             \
        pack8(ahead_a[p]);                                                                                      \
  }                                                                                                             \
  warp_unroll for (uint p = 0; p < PIECES_B; ++p) {                                                             \
    const uint piece = item + p * GROUP_ITEMS;                                                                  \
    (stage)[TILE_M * 4 + place_of(piece_row(piece, TURNED_B, TILE_N), piece_quarter(piece, TURNED_B, TILE_N))] = \
        pack8(ahead_b[p]);                                                                                      \
  }

kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void product_mma(
    global const float *a, uint a_offset, uint a_row, uint a_term, global const float *b, uint b_offset,
    uint b_term, uint b_column, global const float *bias, uint bias_offset, int has_bias, global float *y,
    uint y_offset, uint y_stride, int accumulate, uint m, uint n, uint K) {
  WARP_STATE(GROUP_ITEMS);
  local uint4 stages[2 * STAGE];
  const uint item = get_local_id(0), lane = item % 32, warp = item / 32;
  const uint first_row = get_group_id(1) * TILE_M, first_column = get_group_id(0) * TILE_N;
  const uint warp_row = warp % WARPS_M * 64, warp_column = warp / WARPS_M * 32;
  const uint spans = (K + SPAN - 1) / SPAN;
  const int aligned_a = ((a_offset | a_row) & 3) == 0, aligned_b = ((b_offset | b_column) & 3) == 0;
  a += a_offset;
  b += b_offset;
  y += y_offset;
  float8 ahead_a[PIECES_A], ahead_b[PIECES_B];
  float sum[4][4][4];
  warp_unroll for (uint i = 0; i < 4; ++i) {
    warp_unroll for (uint j = 0; j < 4; ++j) {
      warp_unroll for (uint e = 0; e < 4; ++e) {
        const uint row = first_row + warp_row + 16 * i + lane / 4 + e / 2 * 8;
        const uint column = first_column + warp_column + 8 * j + lane % 4 * 2 + e % 2;
        const int inside = row < m && column < n;
        sum[i][j][e] = accumulate && inside ? y[(size_t)row * y_stride + column] : 0.0f;
        if (has_bias && inside) sum[i][j][e] += bias[bias_offset + column];
      }
    }
  }
  if (spans > 0) {
    fetch_span(0);
    store_span(stages);
  }
  const uint of_lane = place_of(lane / 4, lane % 4);
  for (uint span = 0; span < spans; ++span) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (span + 1 < spans) {
      fetch_span(span + 1);
    }
    local const uint4 *of_a = stages + span % 2 * STAGE + warp_row * 4 + of_lane;
    local const uint4 *of_b = stages + span % 2 * STAGE + (TILE_M + warp_column) * 4 + of_lane;
    uint4 right[4];
    warp_unroll for (uint j = 0; j < 4; ++j) right[j] = of_b[j * 32];
    warp_unroll for (uint i = 0; i < 4; ++i) {
      const uint4 low = of_a[i * 64], high = of_a[i * 64 + 32];
      const uint a0[4] = {low.x, high.x, low.y, high.y}, a1[4] = {low.z, high.z, low.w, high.w};
      warp_unroll for (uint j = 0; j < 4; ++j) {
        const uint b0[2] = {right[j].x, right[j].y}, b1[2] = {right[j].z, right[j].w};
        warp_mma_bf16(sum[i][j], a0, b0);
        warp_mma_bf16(sum[i][j], a1, b1);
      }
    }
    // The other buffer: all have read it before the barrier above.
    if (span + 1 < spans) {
      store_span(stages + (span + 1) % 2 * STAGE);
    }
  }
  warp_unroll for (uint i = 0; i < 4; ++i) {
    warp_unroll for (uint j = 0; j < 4; ++j) {
      warp_unroll for (uint e = 0; e < 4; ++e) {
        const uint row = first_row + warp_row + 16 * i + lane / 4 + e / 2 * 8;
        const uint column = first_column + warp_column + 8 * j + lane % 4 * 2 + e % 2;
        if (row < m && column < n) y[(size_t)row * y_stride + column] = sum[i][j][e];
      }
    }
  }
}
