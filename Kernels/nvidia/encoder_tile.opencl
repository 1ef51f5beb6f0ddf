// What the kernels of the encoder's attention on tensor cores share (encoder_attention_mma and its gradient): rows of
// Float32 on their way to tiles of bfloat16 in local memory, and m16n8k16 products of fragments (see warp, which comes
// before).
//
// Queries are counted within a sequence for each key head: query n is head n % shared of the key head's, in row
// n / shared of the sequence. They are rounded to bfloat16 after scale · log2 e was multiplied to them, so that a
// product with a key is the exponent of 2.
//
// DIM is a multiple of 16 up to 128. ROWS_ALIGNED is 1 where all rows read start at multiples of four floats.
// Rows of a tile are PITCH numbers apart: eight rows lie in different banks.
// Check: -DDIM=64
#ifndef DIM
#define DIM 64
#endif
#ifndef ROWS_ALIGNED
#define ROWS_ALIGNED 1
#endif
#pragma OPENCL FP_CONTRACT OFF
#define PITCH (DIM + 8)
#define PIECES (DIM / 8)
#define STEPS (DIM / 16)
#define LOG2_E 1.44269504088896341f
#define LN_2 0.69314718055994531f

#ifdef WARP_EMULATED
#define power_of_two(x) exp2(x)
// The emulation exchanges through barriers, which no warp may pass by and which make unrolled loops endless to build.
// So it computes what warps leave out, and every instruction stands once in a loop rather than twice in a row.
#define WANTED(condition) 1
#define UNROLL
#else
__attribute__((always_inline)) inline float power_of_two(float x) {
  float y;
  __asm__("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#define WANTED(condition) (condition)
#define UNROLL _Pragma("unroll")
#endif

float4 fetch4(global const float *from) {
#if ROWS_ALIGNED
  return *(global const float4 *)from;
#else
  return vload4(0, from);
#endif
}

float2 fetch2(global const float *from) {
#if ROWS_ALIGNED
  return *(global const float2 *)from;
#else
  return vload2(0, from);
#endif
}

uint2 pack4(float4 v) { return (uint2)(warp_pack_bf16(v.x, v.y), warp_pack_bf16(v.z, v.w)); }

// Pieces of four numbers that each of `items` items carries of a tile of `rows` rows: neighbours read neighbouring
// pieces.
#define FOURS (DIM / 4)
#define SHARE(rows, items) (((rows) * FOURS + (items) - 1) / (items))

// A tile's pieces to registers: `row` is the place of row r, which the expression names; zeros where not `inside`.
#define FETCH_TILE(stage, rows, items, inside, row)                                                \
  UNROLL for (uint i = 0; i < SHARE(rows, items); ++i) {                                           \
    const uint unit = get_local_id(0) + i * (items);                                               \
    const int r = unit / FOURS;                                                                    \
    (stage)[i] = (float4)(0.0f);                                                                   \
    if (((rows) * FOURS % (items) == 0 || unit < (rows) * FOURS) && (inside)) {                    \
      (stage)[i] = fetch4((row) + unit % FOURS * 4);                                               \
    }                                                                                              \
  }

// The pieces, times `factor`, to the tile.
#define PUT_TILE(tile, stage, rows, items, factor)                                                 \
  UNROLL for (uint i = 0; i < SHARE(rows, items); ++i) {                                           \
    const uint unit = get_local_id(0) + i * (items);                                               \
    if ((rows) * FOURS % (items) == 0 || unit < (rows) * FOURS) {                                  \
      *(local uint2 *)((tile) + unit / FOURS * PITCH + unit % FOURS * 4) = pack4((stage)[i] * (factor)); \
    }                                                                                              \
  }

// Half `h` of a lane's left fragments: its numbers of the row at `from`, times `factor`.
#define FETCH_LEFT(a, h, from, factor)                                                             \
  UNROLL for (uint k = 0; k < STEPS; ++k) {                                                        \
    UNROLL for (uint e = 0; e < 2; ++e) {                                                          \
      const float2 pair = fetch2((from) + 16 * k + 8 * e + get_local_id(0) % 4 * 2) * (factor);    \
      (a)[k][2 * e + (h)] = warp_pack_bf16(pair.x, pair.y);                                        \
    }                                                                                              \
  }

// b[4]: the right fragments of 16 rows of a tile from `row` on as columns, at its numbers 16 k to 16 k + 15.
#define RIGHT_ROWS(b, tile, row, k)                                                                \
  warp_matrices(b, (tile) + ((row) + get_local_id(0) % 32 / 16 * 8 + get_local_id(0) % 8) * PITCH + \
                       16 * (k) + get_local_id(0) / 8 % 2 * 8)
// b[4]: the same with the rows as terms, for columns 16 d to 16 d + 15.
#define RIGHT_TERMS(b, tile, row, d)                                                               \
  warp_matrices_turned(b, (tile) + ((row) + get_local_id(0) / 8 % 2 * 8 + get_local_id(0) % 8) * PITCH + \
                              16 * (d) + get_local_id(0) % 32 / 16 * 8)

// Sums of two products side by side as the left fragment of the next product.
#define SUMS_AS_LEFT(a, s)                                                                         \
  (a)[0] = warp_pack_bf16((s)[0][0], (s)[0][1]);                                                   \
  (a)[1] = warp_pack_bf16((s)[0][2], (s)[0][3]);                                                   \
  (a)[2] = warp_pack_bf16((s)[1][0], (s)[1][1]);                                                   \
  (a)[3] = warp_pack_bf16((s)[1][2], (s)[1][3])

// sums[2] += a b for the 16 columns of b[4].
#define ADD_SIXTEEN(sums, a, b) UNROLL for (uint n = 0; n < 2; ++n) warp_mma_bf16((sums)[n], a, (b) + 2 * n)

// sums += a b with b the terms of RIGHT_TERMS, for all columns.
#define ADD_PRODUCT(sums, a, tile, row)                                                            \
  UNROLL for (uint d = 0; d < STEPS; ++d) {                                                        \
    uint b[4];                                                                                     \
    RIGHT_TERMS(b, tile, row, d);                                                                  \
    ADD_SIXTEEN((sums) + 2 * d, a, b);                                                             \
  }
