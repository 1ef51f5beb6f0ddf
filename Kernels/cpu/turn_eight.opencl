// Eight rows of eight numbers turned, for CPU-class devices.
//
// DEFINE_TURN_EIGHT(name, space) makes a function that reads eight numbers of each of `count` rows, `stride` floats
// apart, 0 of the rows from `count` to 7, and writes number d of all rows to the eight floats from
// target + d * TILE_COLUMNS, in `space`: C 1.2 has no pointer that fits every address space. Pairs, then fours, within
// each half of a register, as the processor's shuffles go; then the halves. register_tile.opencl comes before.
#define TURN_LOAD(i) (i < count ? vload8(0, x + (size_t)i * stride) : (float8)(0.0f))
#define TURN_PAIRS(a, b, low, high)                                                            \
  const float8 low = (float8)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5);                 \
  const float8 high = (float8)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7);
#define TURN_FOURS(a, b, low, high)                                                            \
  const float8 low = (float8)(a.s01, b.s01, a.s45, b.s45);                                     \
  const float8 high = (float8)(a.s23, b.s23, a.s67, b.s67);
#define TURN_HALVES(a, b, d)                                                                   \
  vstore8((float8)(a.lo, b.lo), 0, target + d * TILE_COLUMNS);                                 \
  vstore8((float8)(a.hi, b.hi), 0, target + (d + 4) * TILE_COLUMNS);
#define DEFINE_TURN_EIGHT(name, space)                                                         \
  void name(global const float *x, size_t stride, int count, space float *target) {            \
    const float8 x0 = TURN_LOAD(0), x1 = TURN_LOAD(1), x2 = TURN_LOAD(2), x3 = TURN_LOAD(3);   \
    const float8 x4 = TURN_LOAD(4), x5 = TURN_LOAD(5), x6 = TURN_LOAD(6), x7 = TURN_LOAD(7);   \
    TURN_PAIRS(x0, x1, a0, a1)                                                                 \
    TURN_PAIRS(x2, x3, a2, a3)                                                                 \
    TURN_PAIRS(x4, x5, a4, a5)                                                                 \
    TURN_PAIRS(x6, x7, a6, a7)                                                                 \
    TURN_FOURS(a0, a2, b0, b1)                                                                 \
    TURN_FOURS(a1, a3, b2, b3)                                                                 \
    TURN_FOURS(a4, a6, b4, b5)                                                                 \
    TURN_FOURS(a5, a7, b6, b7)                                                                 \
    TURN_HALVES(b0, b4, 0)                                                                     \
    TURN_HALVES(b1, b5, 1)                                                                     \
    TURN_HALVES(b2, b6, 2)                                                                     \
    TURN_HALVES(b3, b7, 3)                                                                     \
  }
