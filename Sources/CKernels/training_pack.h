// The packed form of an operand of a training product, shared by packing and multiplying.
//
// A line is a row of op(A) or a column of op(B). 16 lines lie side by side as a unit: word d of the unit is 16
// 32-bit words, one a line. In Float32 a word is one number of k; in bfloat16 it is two neighbours, as the
// dot-product instruction wants them, and an odd k ends with a zero. What missing lines of the last
// unit hold is never read into a result.
//
// The words are cut into blocks; a block holds [unit][word][16], and blocks lie one after another.
#pragma once
#include "internal.h"

enum {
  TRAIN_UNIT = 16,
  // Words of a block at most. Three units of it (36 KB) come from the second-level cache again for every tile, eight
  // bytes a cycle, which costs less than passing C through twice as often for blocks that fit the first level.
  TRAIN_BLOCK = 192,
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
