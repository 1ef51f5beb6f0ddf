// A tile of sums in registers for CPU-class devices: TILE_ROWS rows times TILE_COLUMNS = 2 · LANES columns.
//
// TILE_ZERO(r) declares the sums a and b of row r, TILE_MULTIPLY adds the products of `terms` terms to all of them, in
// order, by fma; EACH_ROW(F) is F(r) for every row, EACH_ROW_BUT_LAST(F) for all but one. They are macros, so that the
// sums stay in registers: a register holds LANES floats, 8 with AVX2 (16 registers, so 6 rows) and 16 with AVX-512 (32
// registers, so 12 rows). copy_tile_rows copies TILE_ROWS consecutive floats.
#ifndef LANES
#define LANES 16
#endif
#define TILE_COLUMNS (2 * LANES)
#if LANES == 8
typedef float8 lanes;
#define load_lanes(i, p) vload8(i, p)
#define store_lanes(x, i, p) vstore8(x, i, p)
#define TILE_ROWS 6
#define copy_tile_rows(from, to)                     \
  {                                                  \
    vstore4(vload4(0, from), 0, to);                 \
    vstore2(vload2(0, (from) + 4), 0, (to) + 4);     \
  }
#define EACH_ROW_BUT_LAST(F) F(0) F(1) F(2) F(3) F(4)
#define EACH_ROW(F) EACH_ROW_BUT_LAST(F) F(5)
#else
typedef float16 lanes;
#define load_lanes(i, p) vload16(i, p)
#define store_lanes(x, i, p) vstore16(x, i, p)
#define TILE_ROWS 12
#define copy_tile_rows(from, to)                     \
  {                                                  \
    vstore8(vload8(0, from), 0, to);                 \
    vstore4(vload4(0, (from) + 8), 0, (to) + 8);     \
  }
#define EACH_ROW_BUT_LAST(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10)
#define EACH_ROW(F) EACH_ROW_BUT_LAST(F) F(11)
#endif

// `whole` things dealt out evenly to `parts` (uint): how many part `part` has, and which is its first. Runtimes hand a
// thread many groups at once: were the last ones short, the thread that got the first ones would end long after.
#define DEALT(part, parts, whole) ((whole) / (parts) + ((part) < (whole) % (parts)))
#define DEALT_FIRST(part, parts, whole) ((part) * ((whole) / (parts)) + min((uint)(part), (whole) % (parts)))

// FETCH_LINE(p) asks for the cache line at p, into the second-level cache; a processor ignores addresses that are not
// there. FETCH_TILE(p, stride) asks for the rows of the sums that come next, into the first: they lie `stride` floats
// apart, which no hardware guesses.
#if defined(__clang__) && defined(__has_builtin)
#if __has_builtin(__builtin_prefetch)
#define FETCH_LINE(p) __builtin_prefetch((const void *)(size_t)(p), 0, 2)
#define FETCH_ROW(r) __builtin_prefetch((const void *)(size_t)(tile_next + (size_t)r * tile_stride), 0, 3);
#endif
#endif
#ifndef FETCH_LINE
#define FETCH_LINE(p)
#define FETCH_ROW(r)
#endif
#define FETCH_TILE(p, stride)               \
  {                                         \
    global const float *tile_next = p;      \
    const size_t tile_stride = stride;      \
    EACH_ROW(FETCH_ROW)                     \
  }

#define TILE_ZERO(r) lanes a##r = (lanes)(0.0f), b##r = (lanes)(0.0f);
#define TILE_FMA(r)                                          \
  {                                                          \
    const lanes v = (lanes)(tile_left[r * tile_left_row]);   \
    a##r = fma(v, w0, a##r);                                 \
    b##r = fma(v, w1, b##r);                                 \
  }
// Element (row r, term t) of what the rows multiply is left[r · left_row + t · left_term]; left_row is a constant.
#define TILE_MULTIPLY(left_space, left, left_row, left_term, right_space, right, right_term, terms) \
  {                                                                                              \
    left_space const float *tile_left = left;                                                    \
    right_space const float *tile_right = right;                                                 \
    const uint tile_left_row = left_row;                                                         \
    for (uint term = 0; term < (terms); ++term) {                                                \
      const lanes w0 = load_lanes(0, tile_right), w1 = load_lanes(1, tile_right);                \
      EACH_ROW(TILE_FMA)                                                                         \
      tile_left += left_term;                                                                    \
      tile_right += right_term;                                                                  \
    }                                                                                            \
  }

#define TILE_TERM(EACH)                                                                                       \
  {                                                                                                           \
    const lanes w0 = load_lanes(0, tile_right), w1 = load_lanes(1, tile_right);                               \
    EACH(TILE_FMA)                                                                                            \
    tile_left += TILE_ROWS;                                                                                   \
    tile_right += TILE_COLUMNS;                                                                               \
  }
// The same for packed operands, on the rows of EACH alone; what comes next in memory is asked for meanwhile: the line
// at `ahead` every four terms, which then moves on by `step` bytes. One loop with one request a turn: a loop of few
// terms around each burst of them ends in a branch that is guessed wrongly, and a burst keeps the tile's reads waiting.
#define TILE_MULTIPLY_FETCHING(EACH, left, right_space, right, terms, ahead, step)                            \
  {                                                                                                           \
    global const float *tile_left = left;                                                                     \
    right_space const float *tile_right = right;                                                              \
    const uint tile_left_row = 1;                                                                             \
    for (uint turn = 0; turn < (terms) / 4; ++turn) {                                                         \
      FETCH_LINE(ahead);                                                                                      \
      ahead += step;                                                                                          \
      TILE_TERM(EACH) TILE_TERM(EACH) TILE_TERM(EACH) TILE_TERM(EACH)                                         \
    }                                                                                                         \
    for (uint term = 0; term < (terms) % 4; ++term) TILE_TERM(EACH)                                           \
  }
