// What the files of encoder attention's gradient share.
#pragma once
#include "internal.h"

// Query rows and keys of a block: both multiples of 32.
#define BLOCK_ROWS 64
#define BLOCK_KEYS 64
// Rows are zero beyond the end, up to a multiple of this.
#define UNIT 8
#define LOG2_E 1.44269504088896341f

// One key head as the products read it. In bf16 a word is two numbers of a row (transposed keys and values, rows
// of queries) or the same number of two rows (pairs of tokens).
typedef struct {
  int dim, padded, steps; // head size, rounded up to 16, and words of a row
  int length, tokens;     // tokens, and rounded up to 16
  uint32_t *keys, *values;             // transposed: [tokens / 16][steps][16]
  uint32_t *key_rows;                  // [tokens or pairs][padded]
  float *key_sums, *value_sums;        // [tokens][padded]
  uint32_t *query, *gradient;          // rows: [BLOCK_ROWS][padded]
  uint32_t *query_rows, *gradient_rows; // [BLOCK_ROWS or pairs][padded]
  float *query_sums;                   // [BLOCK_ROWS][padded]
  float *offset, *product;             // of each row: −lse · log2 e, do·o
  uint32_t *weights;                   // p: [BLOCK_ROWS or pairs][BLOCK_KEYS]
  uint32_t *slopes;                    // ds, the same
  uint32_t *slope_rows;                // ds by rows: [BLOCK_ROWS][BLOCK_KEYS words]; Float32: slopes itself
} gradient_head;

#if RK_X86
// Everything with AVX2, in Float32; `h` has the sizes and the scratch.
void rk_encoder_gradient_avx2(const rk_encoder_gradient *x, const gradient_head *h);
#endif
