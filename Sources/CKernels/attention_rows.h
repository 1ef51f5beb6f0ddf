// What the attention files share: the tile of rows in flight, and where tokens lie in the cache.
#pragma once
#include "internal.h"

#define CHUNK 64
#define ROWS 6
#define MAX_DIM 256
#define KEY_GROUPS(dim) (((dim) + RK_KV_GROUP - 1) / RK_KV_GROUP)

// Up to ROWS rows of one query head each; their sums live from chunk to chunk.
typedef struct {
  const float *query[ROWS];
  float *out[ROWS];
  const int32_t *table[ROWS];
  int limit[ROWS];  // tokens that the row may read
  float max[ROWS], sum[ROWS];
  // What is read after these tokens, if any.
  const int32_t *next_table;
  int next_start, next_limit;
  float *acc;        // [ROWS][MAX_DIM]
  float *scores;     // [ROWS][CHUNK]
  uint32_t *pairs;   // bf16: the queries, two numbers a word, [ROWS][MAX_DIM / 2]; int8: see attention_int8.h
  uint32_t *weights; // bf16: the weights, two tokens a word, [ROWS][CHUNK / 2]; int8: see attention_int8.h
  // int8: a query's unit times the scale of scores, and −128 · Σ of each group of a query's halves.
  float *rotated;  // int8: the queries as keys are rotated, [ROWS][MAX_DIM]
  float unit[ROWS];
  int32_t offsets[ROWS][2][KEY_GROUPS(MAX_DIM)];
} row_tile;

// Rows row ..< row + R read the tokens from ..< to (from a multiple of CHUNK) of their common blocks.
typedef void (*chunk_function)(const rk_kv_view *v, int kv_head, row_tile *t, int row, int from, int to);
// For `rows` rows; null where the processor lacks the instructions.
chunk_function rk_attention_chunks(rk_kv_type type, int rows);
chunk_function rk_attention_chunks_avx2(rk_kv_type type, int rows);
#if RK_X86
// With AVX2, of 1 to ROWS rows over int8.
extern const chunk_function rk_attention_codes_avx2[ROWS];
// Turns a row's scores into weights; returns what its earlier sums must be multiplied by.
float rk_weigh_avx2(row_tile *t, int r, int start);
#endif

// Rotates a row's query as keys are, into t->rotated, and quantises it to 15 bits.
void rk_query_codes(const rk_kv_view *v, row_tile *t, int row);
// Writes a token's key and value of one head as codes; base is the head's part of the block.
void rk_kv_store_codes(const rk_kv_view *v, uint8_t *base, int slot, const float *key, const float *value);

static inline size_t kv_element(const rk_kv_view *v) {
  return v->type == RK_KV_F32 ? 4 : v->type == RK_KV_INT8 ? 1 : 2;
}

static inline const uint8_t *block_keys(const rk_kv_view *v, const int32_t *table, int token, int kv_head) {
  size_t head = (size_t)v->block_size * rk_kv_token_bytes(v->type, v->head_dim);
  return v->cache + (size_t)table[token / v->block_size] * v->block_stride + (size_t)kv_head * head;
}

// int8: scales of a head's part of a block, and bytes before its first code.
static inline size_t key_scale_index(const rk_kv_view *v, int slot, int d) {
  return (size_t)(d / RK_KV_GROUP) * (size_t)v->block_size + (size_t)slot;
}

static inline size_t value_scale_index(const rk_kv_view *v, int slot) {
  return (size_t)KEY_GROUPS(v->head_dim) * (size_t)v->block_size + (size_t)slot;
}

static inline size_t scale_bytes(const rk_kv_view *v) {
  return 4 * (size_t)v->block_size * (size_t)(KEY_GROUPS(v->head_dim) + 1);
}

// int8: asks for what is read after the chunk at `start`. A head's part of a block is so short, and the next so far
// away, that the processor guesses too little; in the other types it guesses well enough.
static inline __attribute__((always_inline)) void prefetch_next(const rk_kv_view *v, const row_tile *t, int row,
                                                                int kv_head, int start, int to) {
  const int32_t *table = t->table[row];
  int end = to;
  start += CHUNK;
  if (start >= to) {
    if (!t->next_table) return;
    table = t->next_table;
    start = t->next_start;
    end = t->next_limit;
  }
  end = start + CHUNK < end ? start + CHUNK : end;
  size_t bytes = (size_t)v->block_size * rk_kv_token_bytes(v->type, v->head_dim);
  for (int token = start; token < end; token += v->block_size) {
    const uint8_t *base = block_keys(v, table, token, kv_head);
    // Into the second-level cache.
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(base + i, 0, 2);
  }
}

// Index of an element (in int8 after the scales) among its head's keys, or values, of a block; slot is the token's place in the block.
static inline size_t key_index(const rk_kv_view *v, int slot, int d) {
  size_t dim = (size_t)v->head_dim, group = (size_t)(slot / 16) * dim * 16, lane = (size_t)(slot % 16);
  if (v->type == RK_KV_BF16) return group + (size_t)(d / 2) * 32 + lane * 2 + (size_t)(d % 2);
  if (v->type == RK_KV_INT8) return group + (size_t)(d / 4) * 64 + lane * 4 + (size_t)(d % 4);
  return group + (size_t)d * 16 + lane;
}

static inline size_t value_index(const rk_kv_view *v, int slot, int d) {
  size_t dim = (size_t)v->head_dim, keys = (size_t)v->block_size * dim;
  if (v->type == RK_KV_BF16) return keys + (size_t)(slot / 2) * dim * 2 + (size_t)d * 2 + (size_t)(slot % 2);
  if (v->type == RK_KV_INT8) return keys + (size_t)(slot / 4) * dim * 4 + (size_t)d * 4 + (size_t)(slot % 4);
  return keys + (size_t)slot * dim + (size_t)d;
}
