// What the files of encoder attention share.
#pragma once
#include "internal.h"

#define ROWS 6

// A head as the products read it. In bf16 two numbers of a key, or two tokens of a value, share a word.
typedef struct {
  int length, groups; // tokens, and groups of 16 of them
  int dim, padded;    // head size, and rounded up to 16
  float scale;
  const uint32_t *keys;   // [groups][dim or pairs][16]
  const uint32_t *values; // [tokens or pairs][padded]
  uint32_t *query;        // [ROWS][padded]
  float *scores;          // [ROWS][groups · 16]
} packed_head;

#if RK_X86
// All rows of a head with AVX2; `h` has the sizes and the scratch.
void rk_encoder_head_avx2(const rk_encoder_head *x, const packed_head *h);
#endif
