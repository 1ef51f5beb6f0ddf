// Adds rows of a stored table by id to y, or writes them there.
//
//   table  [part_rows, width] in FORMAT, rows row_bytes apart: rows first_row … of the whole table
//   ids    [rows] int; rows whose id lies in another part are left alone
//   y      [rows, width] float, packed
// add: whether to add to y instead of writing it. Launch: ceil(width / 8) × rows items.

kernel void embedding_sum(global const uchar *table, ulong row_bytes, int first_row, int part_rows,
                          global const int *ids, global float *y, uint width, int add) {
  const size_t row = get_global_id(1);
  const uint k = get_global_id(0) * 8;
  const int id = ids[row] - first_row;
  if (k >= width || id < 0 || id >= part_rows) return;
  float values[8];
  vstore8(block_unpack8(table + (size_t)id * row_bytes, k, width), 0, values);
  global float *output = y + row * width + k;
  for (uint i = 0; i < 8 && k + i < width; ++i) output[i] = add ? output[i] + values[i] : values[i];
}
