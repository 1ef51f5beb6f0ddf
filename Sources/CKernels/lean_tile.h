// What the files of the lean product share: a tile's input, and its functions for AVX2.
#pragma once
#include "lean_layout.h"

typedef struct { const uint8_t *panel; const rk_act_block *acts; int k; } tile_input;

// `add`: the sums join what stands in y instead of the bias.
typedef void (*tile_function)(tile_input in, const float *bias, float *y, size_t stride, int columns, int add);

#if RK_X86
// By type, and for 1, 2, 4, 8 and 16 rows.
extern const tile_function rk_lean_tiles_avx2[8][5];
void rk_act_quantize_block_avx2(const float *x, rk_act_block *b);
#endif
