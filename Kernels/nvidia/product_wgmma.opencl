// y = left right + bias, or y += …, by `wgmma` on NVIDIA's Hopper (warpgroup.opencl): bfloat16, sums in Float32.
//
//   left    [m, K] in bfloat16 as product_wgmma_left packs it: [ceil(m / 16), spans, 2, 32] pieces of 16 bytes
//   right   [K, n] likewise (product_wgmma_right): [ceil(n / 128), spans, 512]
//   bias    [n] float from element bias_offset, read where has_bias
//   y       [m, n] float, rows y_stride elements apart, from element y_offset; added to where accumulate
//   spans   of 32 k's, a multiple of 4
// Order of sums: what is there plus the bias, then the terms 16 after 16, each sixteen by one m64n128k16: the same for
// every m and n, and not that of product_mma.
// A group has 64 · WARPGROUPS rows and 128 columns, 64 rows a warpgroup. Fragments of `left` go from global memory to
// registers, three spans ahead; tiles of `right` pass through a ring of STAGES buffers, STAGES - 2 spans ahead, 8 KiB a
// copy. A product is always under way while the next is prepared; one barrier a span keeps the warpgroups together.
// Launch: 128 · WARPGROUPS items a group, groups in one dimension, ceil(n / 128) · ceil(m / rows of a group); BAND
// groups of rows lie together, so that groups at work at one time share what the second-level cache holds.
// Tunable: WARPGROUPS, BAND. Local memory: STAGES · 8,200 bytes. Four warpgroups leave 128 registers an item.
// Check: -DWARPGROUPS=1,2,4 | sm_90a
// Check: -DWARPGROUPS=1,2,4 -DWARPGROUP_TRIES=100000 | sm_90a
#ifndef WARPGROUPS
#define WARPGROUPS 4
#endif
#ifndef STAGES
#define STAGES 5
#endif
#ifndef BAND
#define BAND 8
#endif
#define GROUP_ITEMS (128 * WARPGROUPS)
#define TILE_M (64 * WARPGROUPS)
#define TILE_N 128
// A tile of a span, and the fragments of a span for a warp, in 16-byte pieces.
#define TILE_PIECES 512u
#define FRAGMENT_PIECES 64u

#define load_left(registers, span)                                                    \
  {                                                                                   \
    const uint from = min(span, spans - 1) * FRAGMENT_PIECES;                         \
    const uint4 first = warpgroup_load16(fragments + from), second = warpgroup_load16(fragments + from + 32); \
    (registers)[0] = first.x;                                                         \
    (registers)[1] = first.y;                                                         \
    (registers)[2] = first.z;                                                         \
    (registers)[3] = first.w;                                                         \
    (registers)[4] = second.x;                                                        \
    (registers)[5] = second.y;                                                        \
    (registers)[6] = second.z;                                                        \
    (registers)[7] = second.w;                                                        \
  }

// Starts the copy of a span's tile, where there is such a span.
#define load_right(span)                                                                                  \
  warpgroup_copy(copied + (span) % STAGES, tiles + (span) % STAGES * TILE_PIECES,                         \
                 columns + (size_t)(span) * TILE_PIECES, TILE_PIECES * 16, item == 0 && (span) < spans)

kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void product_wgmma(
    global const uint4 *left, global const uint4 *right, global const float *bias, uint bias_offset, int has_bias,
    global float *y, uint y_offset, uint y_stride, int accumulate, uint m, uint n, uint spans) {
  WARP_STATE(GROUP_ITEMS);
  local uint4 tiles[STAGES * TILE_PIECES] __attribute__((aligned(1024)));
  WARPGROUP_STATE(GROUP_ITEMS, tiles);
  local warpgroup_barrier copied[STAGES];
  const uint item = get_local_id(0), lane = item % 32;
  // Bands of BAND groups of rows, within a band columns after columns.
  const uint across = (n + TILE_N - 1) / TILE_N, down = (m + TILE_M - 1) / TILE_M;
  const uint band = get_group_id(0) / (across * BAND), height = min(down - band * BAND, (uint)BAND);
  const uint place = get_group_id(0) % (across * BAND);
  const uint first_row = (band * BAND + place % height) * TILE_M + item / 32 * 16;
  const uint first_column = place / height * TILE_N;
  // Rows past the last sixteen are computed from those and not stored.
  global const uint4 *fragments =
      left + (size_t)min(first_row / 16, (m - 1) / 16) * spans * FRAGMENT_PIECES + lane;
  global const uint4 *columns = right + (size_t)(first_column / TILE_N) * spans * TILE_PIECES;
  warpgroup_barriers(copied, STAGES);
  barrier(CLK_LOCAL_MEM_FENCE);
  y += y_offset;
  float sum[64];
  warp_unroll for (uint i = 0; i < 64; ++i) {
    const uint row = first_row + lane / 4 + i % 4 / 2 * 8, column = first_column + i / 4 * 8 + lane % 4 * 2 + i % 2;
    const int inside = row < m && column < n;
    sum[i] = accumulate && inside ? y[(size_t)row * y_stride + column] : 0.0f;
    if (has_bias && inside) sum[i] += bias[bias_offset + column];
  }
  if (spans > 0) {
    uint a[4][8];
    warp_unroll for (uint d = 0; d < 4; ++d) load_left(a[d], d);
    for (uint s = 0; s < STAGES - 2; ++s) load_right(s);
    for (uint base = 0; base < spans; base += 4) {
      warp_unroll for (uint d = 0; d < 4; ++d) {
        const uint span = base + d;
        warpgroup_copied(copied + span % STAGES, span / STAGES);
        // In all items every product but the last has ended, so the buffer of the one before that is free.
        barrier(CLK_LOCAL_MEM_FENCE);
        load_right(span + STAGES - 2);
        warpgroup_mma_bf16(sum, a[d], tiles + span % STAGES * TILE_PIECES);
        warpgroup_wait(1, a[(d + 3) % 4]);
        load_left(a[(d + 3) % 4], span + 3);
      }
    }
    warpgroup_end(sum);
  }
  // Neighbouring columns in one store where all pairs lie at multiples of 8 bytes.
  const int pairs = ((y_offset | y_stride) & 1) == 0;
  const uint column = first_column + lane % 4 * 2, rest = column < n ? n - column : 0;
  warp_unroll for (uint h = 0; h < 2; ++h) {
    const uint row = first_row + lane / 4 + 8 * h;
    global float *target = y + (size_t)row * y_stride + column;
    if (row >= m) continue;
    warp_unroll for (uint j = 0; j < 16; ++j) {
      const float low = sum[4 * j + 2 * h], high = sum[4 * j + 2 * h + 1];
      if (pairs && 8 * j + 1 < rest) {
        *(global float2 *)(target + 8 * j) = (float2)(low, high);
      } else {
        if (8 * j < rest) target[8 * j] = low;
        if (8 * j + 1 < rest) target[8 * j + 1] = high;
      }
    }
  }
}
