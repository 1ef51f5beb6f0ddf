// The sum of the squares of each block of BLOCK elements.
//
//   x        [count] float from element x_offset
//   partial  [·] float: block b's sum at first + b
// Launch: a group of GROUP items a block. Tunable: VEC, GROUP (vector_math.opencl).
#define BLOCK 4096u

kernel GROUP_KERNEL void sum_of_squares(global const float *x, uint x_offset, uint count, global float *partial, uint first) {
  GROUP_LOCAL(scratch);
  const uint block = get_group_id(0);
  const uint start = block * BLOCK, end = count - start < BLOCK ? count : start + BLOCK;
  real squares = splat(0.0f);
  for (uint c = start + GROUP_ITEM * VEC; c < end; c += GROUP * VEC) {
    const real v = load_real(x + x_offset + c, end - c);
    squares = fma(v, v, squares);
  }
  const float total = GROUP_SUM(sum_lanes(squares), scratch);
  if (GROUP_ITEM == 0) partial[first + block] = total;
}
