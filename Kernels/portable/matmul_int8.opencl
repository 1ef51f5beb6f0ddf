// y = x Wᵀ + bias of int8 weights and activations on GPU-class devices; layouts and order of sums: int8_groups.opencl.
//
//   operand   rows of x (quantize_int8.opencl), row_tiles tiles of `steps` steps
//   weights   [N, K] in int8
//   bias      [N] float from element bias_offset, read where has_bias
//   y         [rows, N] float, rows y_stride elements apart, from element y_offset
//   passes    1, or 2 for fine activations; a matrix may take one pass over an operand that has two
// matmul_int8_tiled: many rows; 64 × 64 outputs a group of 16 × 16 items through local memory.
// matmul_int8_columns: few rows; groups of COLUMNS × CHUNKS items, one item a column and a step; the column's first
// item adds the steps up in order.
// Tunable: COLUMNS, CHUNKS (those of matmul_columns).
// Check: -DDP4A=1
// Check:
#ifndef COLUMNS
#define COLUMNS 8
#endif
#ifndef CHUNKS
#define CHUNKS 8
#endif
#define TILE 64
#define WORDS 16

kernel __attribute__((reqd_work_group_size(16, 16, 1))) void matmul_int8_tiled(
    global const uint *operand, uint row_tiles, uint steps, global const uchar *weights, uint passes,
    global const float *bias, uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
    uint rows, uint K, uint N) {
  local uint x_tile[WORDS][TILE + 4], w_tile[WORDS][TILE + 4];
  const uint column_item = get_local_id(0), row_item = get_local_id(1), item = row_item * 16 + column_item;
  const uint first_column = get_group_id(0) * TILE, first_row = get_group_id(1) * TILE;
  const uint groups = (K + INT8_GROUP - 1) / INT8_GROUP;
  global const float *row_scales = INT8_ROW_SCALES(operand, row_tiles, steps);
  global const float *column_scales = INT8_WEIGHT_SCALES(weights, N, groups);
  float before[4][4], sum[4][4];
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) before[i][j] = sum[i][j] = 0.0f;
  }
  for (uint step = 0; step < passes * groups; ++step) {
    const uint group = step < groups ? step : step - groups;
    for (uint e = item; e < TILE * WORDS; e += 256) {
      const uint place = e / WORDS, word = e % WORDS;
      const uint row = min(first_row + place, 8 * row_tiles - 1), column = min(first_column + place, N - 1);
      x_tile[word][place] = operand[((size_t)(row / 8) * steps + step) * 128 + row % 8 * 16 + word];
      w_tile[word][place] = ((global const uint *)weights)[((size_t)column * groups + group) * WORDS + word];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    int dot[4][4];
    for (uint i = 0; i < 4; ++i) {
      for (uint j = 0; j < 4; ++j) dot[i][j] = 0;
    }
    for (uint word = 0; word < WORDS; ++word) {
      uint a[4], b[4];
      for (uint i = 0; i < 4; ++i) a[i] = x_tile[word][row_item + 16 * i];
      for (uint j = 0; j < 4; ++j) b[j] = w_tile[word][column_item + 16 * j];
      for (uint i = 0; i < 4; ++i) {
        for (uint j = 0; j < 4; ++j) dot[i][j] = int8_dot4(a[i], b[j], dot[i][j]);
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0; i < 4; ++i) {
      const uint row = min(first_row + row_item + 16 * i, 8 * row_tiles - 1);
      const float row_scale = row_scales[(size_t)step * 8 * row_tiles + row];
      for (uint j = 0; j < 4; ++j) {
        const uint column = min(first_column + column_item + 16 * j, N - 1);
        const float scale = column_scales[(size_t)group * INT8_COLUMNS(N) + column] * row_scale;
        if (step == groups) {
          before[i][j] = sum[i][j];
          sum[i][j] = 0.0f;
        }
        sum[i][j] = fma((float)dot[i][j], scale, sum[i][j]);
      }
    }
  }
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) {
      const uint row = first_row + row_item + 16 * i, column = first_column + column_item + 16 * j;
      if (row < rows && column < N) {
        const float value = passes > 1 ? before[i][j] + sum[i][j] : sum[i][j];
        y[y_offset + (size_t)row * y_stride + column] = has_bias ? value + bias[bias_offset + column] : value;
      }
    }
  }
}

kernel __attribute__((reqd_work_group_size(CHUNKS, COLUMNS, 1))) void matmul_int8_columns(
    global const uint *operand, uint row_tiles, uint steps, global const uchar *weights, uint passes,
    global const float *bias, uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
    uint rows, uint K, uint N) {
  local int dots[COLUMNS][CHUNKS];
  local float scales[COLUMNS][CHUNKS];
  const uint lane = get_local_id(0), place = get_local_id(1), row = get_group_id(2);
  const uint column = min((uint)get_global_id(1), N - 1);
  const uint groups = (K + INT8_GROUP - 1) / INT8_GROUP, end = passes * groups;
  global const float *row_scales = INT8_ROW_SCALES(operand, row_tiles, steps);
  global const float *column_scales = INT8_WEIGHT_SCALES(weights, N, groups);
  float before = 0.0f, sum = 0.0f;
  for (uint first = 0; first < end; first += CHUNKS) {
    const uint step = min(first + lane, end - 1), group = step < groups ? step : step - groups;
    global const uint4 *a = (global const uint4 *)(operand + ((size_t)(row / 8) * steps + step) * 128 + row % 8 * 16);
    global const uint4 *b = (global const uint4 *)(weights + ((size_t)column * groups + group) * INT8_GROUP);
    int dot = 0;
    for (uint i = 0; i < 4; ++i) {
      const uint4 left = a[i], right = b[i];
      dot = int8_dot4(left.x, right.x, dot);
      dot = int8_dot4(left.y, right.y, dot);
      dot = int8_dot4(left.z, right.z, dot);
      dot = int8_dot4(left.w, right.w, dot);
    }
    dots[place][lane] = dot;
    scales[place][lane] = column_scales[(size_t)group * INT8_COLUMNS(N) + column] *
                          row_scales[(size_t)step * 8 * row_tiles + row];
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lane == 0) {
      for (uint i = 0; i < CHUNKS && first + i < end; ++i) {
        if (first + i == groups) {
          before = sum;
          sum = 0.0f;
        }
        sum = fma((float)dots[place][i], scales[place][i], sum);
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (lane == 0 && get_global_id(1) < N) {
    const float value = passes > 1 ? before + sum : sum;
    y[y_offset + (size_t)row * y_stride + column] = has_bias ? value + bias[bias_offset + column] : value;
  }
}
