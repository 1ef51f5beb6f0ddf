// The layout of int8 matrices and activations, shared by packing and product.
//
// Both sides carry one scale for each RK_INT8_GROUP inputs. A panel is 16 output rows; its unit of a group is
//   scale f32[16], then codes + 128: for each four k, 64 bytes, byte n·4+j holding row n, k = 4i+j.
// The activations of a tile of M rows lie group by group as
//   int8 codes [M][RK_INT8_GROUP], scale f32[M], start i32[M],
// where start = −128 · Σ codes undoes the offset of the weights.
#pragma once
#include "internal.h"

static inline int group_width(int k, int from) { return k - from < RK_INT8_GROUP ? k - from : RK_INT8_GROUP; }
static inline int padded(int k) { return (k + 3) / 4 * 4; }
static inline int group_count(int k) { return (k + RK_INT8_GROUP - 1) / RK_INT8_GROUP; }

// Rows of the tile that begins where `left` rows are left.
static inline int tile_rows(int left) { return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1; }

// A stretch of groups of neighbouring panels against a tile of rows.
typedef struct {
  const uint8_t *panel;   // at the stretch's first group, of the first panel
  size_t panel_bytes;     // from a panel to the next
  const uint8_t *acts;    // the tile's rows at the same group
  const uint8_t *next[2]; // what will be read after this stretch; a share of it is fetched meanwhile
  size_t fetch;           // bytes of it for each four k
  float *sums;            // [M][32]: 16 for each panel
  int k;                  // inputs of the stretch
} int8_stretch;

#if RK_X86
// P (1, 2) panels against M (1, 2, 4, 8) rows, with AVX2.
void rk_int8_tile_avx2(int P, int M, const int8_stretch *t);
// Quantises a whole group, and gives its scale and the sum of its codes.
float rk_int8_quantize_group_avx2(const float *x, int8_t *codes, int32_t *sum);
#endif
// The scale, codes and sum of a group with an infinity or a NaN.
float rk_int8_quantize_infinite(int count, int8_t *codes, int32_t *sum);
