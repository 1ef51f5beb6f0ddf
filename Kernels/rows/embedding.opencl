// Rows of a stored table by token id, widened to float.
//
//   table      [part_rows, width] in FORMAT, rows row_bytes apart: rows first_row … of the whole table
//   token_ids  [rows] int; rows whose id lies in another part are left alone
//   y          [rows, width] float, packed, from element y_offset
// Launch: ceil(width / 8) × rows items.

kernel void embedding(global const uchar *table, ulong row_bytes, int first_row, int part_rows,
                      global const int *token_ids, global float *y, uint y_offset, uint width) {
  const size_t row = get_global_id(1);
  const uint k = get_global_id(0) * 8;
  const int id = token_ids[row] - first_row;
  if (k >= width || id < 0 || id >= part_rows) return;
  const float8 v = block_unpack8(table + (size_t)id * row_bytes, k, width);
  global float *output = y + y_offset + row * width + k;
  if (k + 8 <= width) {
    vstore8(v, 0, output);
  } else {
    float values[8];
    vstore8(v, 0, values);
    for (uint i = 0; k + i < width; ++i) output[i] = values[i];
  }
}
