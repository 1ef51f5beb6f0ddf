// Operands of product_wgmma: matrices in Float32 rounded to bfloat16, in the order in which it reads them.
//
//   x       [rows, K] float, element (i, k) at offset + i · row_step + k · term. The right operand's rows are the
//           product's columns
//   packed  in pieces of 16 bytes, zeros past the last row and k:
//           product_wgmma_left   the fragments of a warp for every 16 rows and every span of 32 k's, a piece for each
//                                half of the span and lane: [ceil(rows / 16), spans, 2, 32]
//           product_wgmma_right  the tile of every 128 rows and every span, a piece for 8 k's of a row at its
//                                warpgroup_place: [ceil(rows / 128), spans, 512]
// Launch: (64 · spans, ceil(rows / 16)) and (512 · spans, ceil(rows / 128)) items. Tunable: nothing.
// Check: | sm_90a
#define SPAN 32u
#define FRAGMENT_PIECES 64u
#define TILE_PIECES 512u
#define TILE_ROWS 128u

float wgmma_number(global const float *from, uint term, uint k, uint K, int inside) {
  return inside && k < K ? from[(size_t)k * term] : 0.0f;
}

kernel void product_wgmma_left(global const float *x, uint offset, uint row_step, uint term, global uint4 *packed,
                               uint rows, uint K) {
  const uint piece = get_global_id(0), lane = piece % 32, spans = get_global_size(0) / FRAGMENT_PIECES;
  const uint k = piece / 32 * 16 + lane % 4 * 2, low = get_global_id(1) * 16 + lane / 4, high = low + 8;
  global const float *of_low = x + offset + (size_t)low * row_step;
  global const float *of_high = x + offset + (size_t)high * row_step;
  const int has_low = low < rows, has_high = high < rows;
  float v[8];
  for (uint i = 0; i < 2; ++i) {
    const uint at = k + 8 * i;
    v[4 * i] = wgmma_number(of_low, term, at, K, has_low);
    v[4 * i + 1] = wgmma_number(of_low, term, at + 1, K, has_low);
    v[4 * i + 2] = wgmma_number(of_high, term, at, K, has_high);
    v[4 * i + 3] = wgmma_number(of_high, term, at + 1, K, has_high);
  }
  packed[get_global_id(1) * spans * FRAGMENT_PIECES + piece] =
      (uint4)(warp_pack_bf16(v[0], v[1]), warp_pack_bf16(v[2], v[3]), warp_pack_bf16(v[4], v[5]),
              warp_pack_bf16(v[6], v[7]));
}

kernel void product_wgmma_right(global const float *x, uint offset, uint row_step, uint term, global uint4 *packed,
                                uint rows, uint K) {
  const uint place = get_global_id(0), spans = get_global_size(0) / TILE_PIECES;
  // warpgroup_place is its own inverse in the piece.
  const uint column = place % TILE_PIECES / 4, piece = warpgroup_place(column, place % 4) % 4;
  const uint k = place / TILE_PIECES * SPAN + piece * 8, row = get_global_id(1) * TILE_ROWS + column;
  global const float *from = x + offset + (size_t)row * row_step;
  float v[8];
  if (term == 1 && row < rows && k + 8 <= K && ((offset | row_step) & 3) == 0) {
    vstore4(*(global const float4 *)(from + k), 0, v);
    vstore4(*(global const float4 *)(from + k + 4), 1, v);
  } else {
    for (uint i = 0; i < 8; ++i) v[i] = wgmma_number(from, term, k + i, K, row < rows);
  }
  packed[get_global_id(1) * spans * TILE_PIECES + place] =
      (uint4)(warp_pack_bf16(v[0], v[1]), warp_pack_bf16(v[2], v[3]), warp_pack_bf16(v[4], v[5]),
              warp_pack_bf16(v[6], v[7]));
}
