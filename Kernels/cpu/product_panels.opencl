// y = op(a) op(b) + bias, or y += …, on CPU-class devices: both operands are packed first, in the order of tiles.
//
//   a       element (i, k) at a_offset + i · a_row + k · a_term
//   b       element (k, j) at b_offset + k · b_term + j · b_column
//   packed  by CHUNK terms (the last fewer): [ceil(m / TILE_ROWS), terms, TILE_ROWS] float, rows of op(a), 0 beyond
//           the last; what an item reads of one is consecutive, so it meets itself nowhere in the cache
//   panels  likewise: [ceil(n / TILE_COLUMNS), terms, TILE_COLUMNS] float, columns of op(b)
//   bias    [n] float from element bias_offset, read where has_bias
//   y       [m, n] float, rows y_stride elements apart, from element y_offset; added to where accumulate
// Order of sums: what is there plus the bias, then an element's terms by fma in the order of k. CHUNK terms at a time,
// 32 KB of a panel; those of an item's tiles and panels stay in the second-level cache; y holds the sums between.
// Launch: product_pack_left (ceil(tiles / PACKED_TILES), ceil(K / CHUNK)), product_pack_right (panels, ceil(K / CHUNK)),
// product_tiles (blocks of panels, blocks of tiles) items, groups of 1. Tunable: LANES, the host's tiles and panels to a
// block. register_tile.opencl and turn_eight.opencl come before.
#define CHUNK (8192u / TILE_COLUMNS)

// Tiles an item packs: where rows lie side by side, a cache line holds parts of several.
#define PACKED_TILES 8

kernel void product_pack_left(global const float *a, uint a_offset, uint a_row, uint a_term, global float *packed,
                              uint m, uint K) {
  const uint all_tiles = (m + TILE_ROWS - 1) / TILE_ROWS, first = get_global_id(1) * CHUNK;
  const uint terms = min(CHUNK, K - first);
  const uint first_tile = get_global_id(0) * PACKED_TILES, tiles = min((uint)PACKED_TILES, all_tiles - first_tile);
  global const float *source = a + a_offset + (size_t)first_tile * TILE_ROWS * a_row + (size_t)first * a_term;
  global float *target = packed + ((size_t)first * all_tiles + first_tile * terms) * TILE_ROWS;
  if (a_row == 1 && (first_tile + tiles) * TILE_ROWS <= m) {
    for (uint k = 0; k < terms; ++k, source += a_term, target += TILE_ROWS) {
      for (uint line = 0; line < tiles * TILE_ROWS; line += 16) FETCH_LINE(source + (size_t)16 * a_term + line);
      for (uint t = 0; t < tiles; ++t) {
        copy_tile_rows(source + t * TILE_ROWS, target + (size_t)t * terms * TILE_ROWS);
      }
    }
    return;
  }
  for (uint tile = first_tile; tile < first_tile + tiles; ++tile, source += (size_t)TILE_ROWS * a_row) {
    const uint rows = min((uint)TILE_ROWS, m - tile * TILE_ROWS);
    for (uint k = 0; k < terms; ++k, target += TILE_ROWS) {
#pragma unroll
      for (uint i = 0; i < TILE_ROWS; ++i) {
        target[i] = i < rows ? source[(size_t)i * a_row + (size_t)k * a_term] : 0.0f;
      }
    }
  }
}

// Eight columns of eight terms each turned into eight rows of a panel.
DEFINE_TURN_EIGHT(turn_terms, global)

kernel void product_pack_right(global const float *b, uint b_offset, uint b_term, uint b_column,
                               global float *panels, uint n, uint K) {
  const uint panel = get_global_id(0), first = get_global_id(1) * CHUNK, last = min(K, first + CHUNK);
  const uint columns = min((uint)TILE_COLUMNS, n - panel * TILE_COLUMNS);
  global const float *source = b + b_offset + (size_t)(panel * TILE_COLUMNS) * b_column;
  global float *target = panels + ((size_t)first * get_global_size(0) + panel * (last - first)) * TILE_COLUMNS;
  uint k = first;
  if (columns == TILE_COLUMNS && b_column == 1) {
    for (; k < last; ++k, target += TILE_COLUMNS) {
      global const float *line = source + (size_t)k * b_term;
      // Rows lie kilobytes apart.
      FETCH_LINE(line + (size_t)16 * b_term);
      store_lanes(load_lanes(0, line), 0, target);
      store_lanes(load_lanes(1, line), 1, target);
    }
  } else if (columns == TILE_COLUMNS && b_term == 1) {
    for (; k + 8 <= last; k += 8, target += 8 * TILE_COLUMNS) {
      for (uint j = 0; j < TILE_COLUMNS; j += 8) turn_terms(source + (size_t)j * b_column + k, b_column, 8, target + j);
    }
  }
  for (; k < last; ++k, target += TILE_COLUMNS) {
    global const float *line = source + (size_t)k * b_term;
    for (uint j = 0; j < TILE_COLUMNS; ++j) {
      target[j] = j < columns ? line[(size_t)j * b_column] : 0.0f;
    }
  }
}

#define TILE_FIRST(r)                                          \
  if (r < valid) {                                             \
    a##r = load_lanes(0, corner + (size_t)r * y_stride);       \
    b##r = load_lanes(1, corner + (size_t)r * y_stride);       \
  }
#define TILE_STORE(r)                                          \
  if (r < valid) {                                             \
    store_lanes(a##r, 0, corner + (size_t)r * y_stride);       \
    store_lanes(b##r, 1, corner + (size_t)r * y_stride);       \
  }
#define TILE_BIAS(r) a##r += bias0; b##r += bias1;
// Columns beyond n: by way of memory that is as wide as the tile.
#define EDGE_FIRST(r)                               \
  a##r = load_lanes(0, edge + r * TILE_COLUMNS);    \
  b##r = load_lanes(1, edge + r * TILE_COLUMNS);
#define EDGE_STORE(r)                               \
  store_lanes(a##r, 0, edge + r * TILE_COLUMNS);    \
  store_lanes(b##r, 1, edge + r * TILE_COLUMNS);

kernel void product_tiles(global const float *packed, global const float *panels, global const float *bias,
                          uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
                          int accumulate, uint m, uint n, uint K) {
  const uint all_tiles = (m + TILE_ROWS - 1) / TILE_ROWS, all_panels = (n + TILE_COLUMNS - 1) / TILE_COLUMNS;
  const uint block = get_global_id(1), blocks = get_global_size(1);
  const uint strip = get_global_id(0), strips = get_global_size(0);
  const uint first_tile = DEALT_FIRST(block, blocks, all_tiles), last_tile = first_tile + DEALT(block, blocks, all_tiles);
  const uint first_panel = DEALT_FIRST(strip, strips, all_panels);
  const uint last_panel = first_panel + DEALT(strip, strips, all_panels);
  float edge[TILE_ROWS * TILE_COLUMNS];
  uint chunk = 0;
  // Once where there are no terms: the start is the result.
  do {
    const uint terms = min(CHUNK, K - chunk);
    for (uint panel = first_panel; panel < last_panel; ++panel) {
      const uint columns = min((uint)TILE_COLUMNS, n - panel * TILE_COLUMNS);
      global const float *right = panels + ((size_t)chunk * all_panels + panel * terms) * TILE_COLUMNS;
      lanes bias0 = (lanes)(-0.0f), bias1 = (lanes)(-0.0f);
      if (has_bias && chunk == 0) {
        global const float *shift = bias + bias_offset + panel * TILE_COLUMNS;
        for (uint j = 0; j < TILE_COLUMNS; ++j) edge[j] = j < columns ? shift[j] : 0.0f;
        bias0 = load_lanes(0, edge);
        bias1 = load_lanes(1, edge);
      }
      // What comes next: the next panel, or the first one's next terms.
      global const char *ahead = (global const char *)(panel + 1 < last_panel
          ? right + terms * TILE_COLUMNS
          : panels + ((size_t)(chunk + CHUNK) * all_panels + first_panel * CHUNK) * TILE_COLUMNS);
      const uint step = (4 * 4 * TILE_COLUMNS + last_tile - first_tile - 1) / (last_tile - first_tile);
      for (uint tile = first_tile; tile < last_tile; ++tile) {
        const uint valid = min((uint)TILE_ROWS, m - tile * TILE_ROWS);
        global const float *left = packed + ((size_t)chunk * all_tiles + tile * terms) * TILE_ROWS;
        global float *corner = y + y_offset + (size_t)tile * TILE_ROWS * y_stride + panel * TILE_COLUMNS;
        EACH_ROW(TILE_ZERO)
        if (accumulate || chunk > 0) {
          if (columns == TILE_COLUMNS) {
            EACH_ROW(TILE_FIRST)
          } else {
            for (uint r = 0; r < valid; ++r) {
              for (uint j = 0; j < columns; ++j) edge[r * TILE_COLUMNS + j] = corner[(size_t)r * y_stride + j];
            }
            EACH_ROW(EDGE_FIRST)
          }
        }
        EACH_ROW(TILE_BIAS)
        FETCH_TILE(corner + (size_t)TILE_ROWS * y_stride, y_stride)
        TILE_MULTIPLY_FETCHING(EACH_ROW, left, global, right, terms, ahead, step)
        if (columns == TILE_COLUMNS) {
          EACH_ROW(TILE_STORE)
        } else {
          EACH_ROW(EDGE_STORE)
          for (uint r = 0; r < valid; ++r) {
            for (uint j = 0; j < columns; ++j) corner[(size_t)r * y_stride + j] = edge[r * TILE_COLUMNS + j];
          }
        }
      }
    }
    chunk += CHUNK;
  } while (chunk < K);
}
