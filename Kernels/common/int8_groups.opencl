// Int8 with a Float32 scale for every 64 terms of a row (a "group"): what packing and products of GPUs share.
//
//   weights   codes [N, groups, 64] char, zeros past K, then scales [groups, INT8_COLUMNS(N)] float
//   operand   rows of x, by tiles of 8 rows and by groups ("steps"): codes [row tiles, steps, 8, 64] char, then scales
//             [steps, 8 · row tiles] float; zeros past K and past the last row. Of fine activations (15 bits) there
//             are twice as many steps as groups: those of the rounded numbers, then those of what rounding left.
//
// Order of a sum, one for all kernels and the CPU backend's too (int8_gemm.c): the products of a group are added
// exactly in 32 bits; then sum = fma(group, weight's scale · row's scale, sum) from 0 on, group by group. A second
// pass over fine activations has a sum of its own, which is added to the first's, and the bias comes last.
// With INTEGER_DOT products of four codes are cl_khr_integer_dot_product's where the compiler has them, with DP4A
// NVIDIA's instruction.
#define INT8_GROUP 64u
// Columns that the weights' scales have room for: whole 16 bytes.
#define INT8_COLUMNS(N) (((N) + 3) / 4 * 4)
#define INT8_WEIGHT_SCALES(weights, N, groups) ((global const float *)((weights) + (size_t)(N) * (groups) * INT8_GROUP))
#define INT8_ROW_SCALES(operand, row_tiles, steps) \
  ((global const float *)((global const uchar *)(operand) + (size_t)(row_tiles) * (steps) * 8 * INT8_GROUP))

// Absolute values, of which the largest decides the scale. A NaN counts as infinity: an infinite scale makes the
// group's products no numbers, where fmax would lose it.
#define INT8_SIZES(type, v) select((type)(INFINITY), fabs(v), isequal(v, v))
// What numbers of which the largest has this size are multiplied by.
float int8_inverse(float most) { return most > 0.0f ? 127.0f / most : 0.0f; }

#if defined(INTEGER_DOT) && defined(__opencl_c_integer_dot_product_input_4x8bit_packed)
#define int8_dot4(a, b, sum) ((sum) + dot_4x8packed_ss_int(a, b))
#elif defined(DP4A)
__attribute__((always_inline)) inline int int8_dot4(uint a, uint b, int sum) {
  int y;
  __asm__("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
  return y;
}
#else
int int8_dot4(uint a, uint b, int sum) {
  const int4 products = convert_int4(as_char4(a)) * convert_int4(as_char4(b));
  return sum + products.x + products.y + products.z + products.w;
}
#endif
