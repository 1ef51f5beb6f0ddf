// Rounds stored weights and rows of x to int8 with a scale for every 64 terms (int8_groups.opencl), on GPU-class
// devices. A scale is the largest of a group by 127, a code the nearest whole number of scales, ties to even.
//
//   rows_in   [row_count, K] in FORMAT, rows row_bytes apart (block_formats.opencl)
//   weights   as products read them; these rows become its rows from first_row on
//   x         [rows, K] float, rows x_stride elements apart, from element x_offset
//   operand   as products read it; with `fine` 1 in two passes: 15 bits
// quantize_weights: (groups, row_count) items. quantize_rows: (16 · groups, 8 · row tiles) items in groups of (16, 8),
// which have four terms of a row each. Nothing is tunable.
// Check: -DFORMAT=0,2,4,10

kernel void quantize_weights(global const uchar *rows_in, ulong row_bytes, global uchar *weights, uint first_row,
                             uint K, uint N) {
  const uint group = get_global_id(0), groups = get_global_size(0);
  const size_t row = get_global_id(1), target = first_row + row;
  float8 v[8], most = (float8)(0.0f);
  for (uint i = 0; i < 8; ++i) {
    const uint k = group * INT8_GROUP + 8 * i;
    v[i] = k < K ? block_unpack8(rows_in + row * row_bytes, k, K) : (float8)(0.0f);
    most = fmax(most, INT8_SIZES(float8, v[i]));
  }
  const float4 pairs = fmax(most.lo, most.hi);
  const float peak = fmax(fmax(pairs.x, pairs.y), fmax(pairs.z, pairs.w)), inverse = int8_inverse(peak);
  global char *codes = (global char *)weights + (target * groups + group) * INT8_GROUP;
  for (uint i = 0; i < 8; ++i) *(global char8 *)(codes + 8 * i) = convert_char8_sat_rte(v[i] * inverse);
  global float *scales = (global float *)(weights + (size_t)N * groups * INT8_GROUP);
  scales[(size_t)group * INT8_COLUMNS(N) + target] = peak / 127.0f;
}

#if FORMAT == FORMAT_F32
kernel __attribute__((reqd_work_group_size(16, 8, 1))) void quantize_rows(global const float *x, uint x_offset,
                                                                          uint x_stride, global uint *operand,
                                                                          uint rows, uint K, uint fine) {
  local float most[8][16];
  const uint place = get_local_id(0), row_of_tile = get_local_id(1), row = get_global_id(1);
  const uint group = get_group_id(0), groups = get_num_groups(0), k = group * INT8_GROUP + 4 * place;
  const uint tile = get_group_id(1), tiles = get_num_groups(1), steps = groups << fine;
  global const float *from = x + x_offset + (size_t)row * x_stride + k;
  global float *scales = (global float *)(operand + (size_t)tiles * steps * 128);
  float4 v = (float4)(0.0f);
  if (row < rows) {
    if (k + 4 <= K) {
      v = ((x_offset | x_stride) & 3) == 0 ? *(global const float4 *)from : vload4(0, from);
    } else {
      if (k < K) v.x = from[0];
      if (k + 1 < K) v.y = from[1];
      if (k + 2 < K) v.z = from[2];
    }
  }
  for (uint pass = 0; pass <= fine; ++pass) {
    const uint step = group + pass * groups;
    const float4 sizes = INT8_SIZES(float4, v);
    most[row_of_tile][place] = fmax(fmax(sizes.x, sizes.y), fmax(sizes.z, sizes.w));
    barrier(CLK_LOCAL_MEM_FENCE);
    float peak = 0.0f;
    for (uint i = 0; i < 16; ++i) peak = fmax(peak, most[row_of_tile][i]);
    barrier(CLK_LOCAL_MEM_FENCE);
    const float scale = peak / 127.0f;
    const char4 codes = convert_char4_sat_rte(v * int8_inverse(peak));
    operand[((size_t)tile * steps + step) * 128 + row_of_tile * 16 + place] = as_uint(codes);
    if (place == 0) scales[(size_t)step * 8 * tiles + row] = scale;
    v = fma((float4)(0.0f - scale), convert_float4(codes), v);
  }
}
#endif
