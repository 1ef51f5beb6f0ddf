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
