// The packed form of an operand of a training product, shared by packing and multiplying.
//
// A line is a row of op(A) or a column of op(B). 16 lines lie side by side as a unit: word d of the unit is 16
// 32-bit words, one a line. In Float32 a word is one number of k; in bfloat16 it is two neighbours, as the
// dot-product instruction wants them, and an odd k ends with a zero. Missing lines of the last unit are zero.
//
// The words are cut into blocks; a block holds [unit][word][16], and blocks lie one after another.
#pragma once
#include "internal.h"

enum {
  TRAIN_UNIT = 16,
  // Words of a block: three units of it (18 KB) stay in a first-level cache of 32 KB beside what streams past.
  TRAIN_BLOCK = 96,
};

typedef struct {
  const float *source; // at the first line and the first k
  size_t stride;       // floats from a source row to the next
  int by_columns;      // a line is a column of the source, not a row
  int lines, k;
  int narrow; // bfloat16 pairs
} train_operand;

static inline int train_words(int k, int narrow) { return narrow ? k / 2 + k % 2 : k; }
static inline int train_units(int lines) { return lines / TRAIN_UNIT + (lines % TRAIN_UNIT != 0); }

// Packs words [from, from + depth) of all lines as one block.
void rk_train_pack(const train_operand *x, int from, int depth, uint32_t *block);
