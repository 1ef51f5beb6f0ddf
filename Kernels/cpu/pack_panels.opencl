// Repacks stored rows of a weight matrix into panels of 32 output columns for matmul_panels.
//
//   rows_in   [row_count, K] in FORMAT, rows row_bytes apart: columns 32 · first_panel … of the output
//   panels    the packed matrix; see matmul_panels.opencl for the layouts
// Columns past row_count are filled with zeros.
// pack_int8 rounds to int8 with a scale for every 64 terms (int8_groups.opencl; layout in matmul_int8_panels.opencl).
// pack_int8: items (ceil(K / 64), panels). pack_f32, pack_bf16, pack_f16: items (ceil(K / 32), panels). pack_blocks: items (K / BLOCK_ELEMENTS, panels);
// quantised FORMATs only, every quant and scale keeps its bits.

kernel void pack_f32(global const uchar *rows_in, ulong row_bytes, int row_count, global float *panels,
                     int first_panel, uint K) {
  const uint k_first = get_global_id(0) * 32;
  const uint panel = get_global_id(1);
  global float *out = panels + (size_t)(first_panel + panel) * K * 32;
  for (uint lane = 0; lane < 32; ++lane) {
    const uint row = panel * 32 + lane;
    for (uint k = k_first; k < min(k_first + 32, K); k += 8) {
      float values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
      if (row < (uint)row_count) vstore8(block_unpack8(rows_in + row * row_bytes, k, K), 0, values);
      for (uint i = 0; i < min(8u, K - k); ++i) out[(size_t)(k + i) * 32 + lane] = values[i];
    }
  }
}

// Upper half of a float, rounded to nearest even; a NaN stays one.
ushort round_bf16(float x) {
  const uint bits = as_uint(x);
  if (isnan(x)) return (ushort)(bits >> 16) | 0x40;
  return (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

kernel void pack_bf16(global const uchar *rows_in, ulong row_bytes, int row_count, global ushort *panels,
                      int first_panel, uint K) {
  const uint k_first = get_global_id(0) * 32;
  const uint panel = get_global_id(1);
  global ushort *out = panels + (size_t)(first_panel + panel) * K * 32;
  for (uint lane = 0; lane < 32; ++lane) {
    const uint row = panel * 32 + lane;
    const uint place = lane % 16 * 2 + lane / 16;
    for (uint k = k_first; k < min(k_first + 32, K); k += 8) {
      float values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
      if (row < (uint)row_count) vstore8(block_unpack8(rows_in + row * row_bytes, k, K), 0, values);
      for (uint i = 0; i < min(8u, K - k); ++i) out[(size_t)(k + i) * 32 + place] = round_bf16(values[i]);
    }
  }
}

kernel void pack_int8(global const uchar *rows_in, ulong row_bytes, int row_count, global uchar *panels,
                      int first_panel, uint K) {
  const uint group = get_global_id(0), panel = get_global_id(1);
  global uchar *record = panels + ((size_t)(first_panel + panel) * get_global_size(0) + group) * (128 + 64 * 32);
  for (uint lane = 0; lane < 32; ++lane) {
    const uint row = panel * 32 + lane;
    float8 v[8], most = (float8)(0.0f);
    for (uint i = 0; i < 8; ++i) {
      const uint k = group * INT8_GROUP + 8 * i;
      v[i] = row < (uint)row_count && k < K ? block_unpack8(rows_in + row * row_bytes, k, K) : (float8)(0.0f);
      most = fmax(most, INT8_SIZES(float8, v[i]));
    }
    const float4 most4 = fmax(most.lo, most.hi);
    const float peak = fmax(fmax(most4.x, most4.y), fmax(most4.z, most4.w)), inverse = int8_inverse(peak);
    ((global float *)record)[lane] = peak / 127.0f;
    global char *out = (global char *)record + 128 + lane;
    for (uint i = 0; i < 8; ++i) {
      char codes[8];
      vstore8(convert_char8_sat_rte(v[i] * inverse), 0, codes);
      for (uint j = 0; j < 8; ++j) out[(8 * i + j) * 32] = codes[j];
    }
  }
}

#if FORMAT == FORMAT_F16
kernel void pack_f16(global const uchar *rows_in, ulong row_bytes, int row_count, global ushort *panels,
                     int first_panel, uint K) {
  const uint k_first = get_global_id(0) * 32;
  const uint panel = get_global_id(1);
  global ushort *out = panels + (size_t)(first_panel + panel) * K * 32;
  for (uint lane = 0; lane < 32; ++lane) {
    const uint row = panel * 32 + lane;
    global const ushort *in = (global const ushort *)(rows_in + row * row_bytes);
    for (uint k = k_first; k < min(k_first + 32, K); ++k) {
      out[(size_t)k * 32 + lane] = row < (uint)row_count ? in[k] : 0;
    }
  }
}
#endif

#if FORMAT >= FORMAT_Q4_0
// Copies the block's scales for one lane; returns where the quants begin.
uint pack_scales(global const uchar *block, global uchar *record, uint lane, int present) {
#if FORMAT == FORMAT_Q4_K || FORMAT == FORMAT_Q5_K
  for (uint i = 0; i < 4; ++i) record[i / 2 * 64 + lane * 2 + i % 2] = present ? block[i] : 0;
  for (uint j = 0; j < 8; ++j) {
    const int2 scales = present ? block_k_scales(block + 4, j) : (int2)(0, 0);
    record[128 + j * 64 + lane] = (uchar)scales.x;
    record[128 + j * 64 + 32 + lane] = (uchar)scales.y;
  }
  return 128 + 8 * 64;
#elif FORMAT == FORMAT_Q6_K
  for (uint i = 0; i < 2; ++i) record[lane * 2 + i] = present ? block[208 + i] : 0;
  for (uint j = 0; j < 16; ++j) record[64 + j * 32 + lane] = present ? block[192 + j] : 0;
  return 64 + 16 * 32;
#elif FORMAT == FORMAT_Q4_1 || FORMAT == FORMAT_Q5_1
  for (uint i = 0; i < 4; ++i) record[i / 2 * 64 + lane * 2 + i % 2] = present ? block[i] : 0;
  return 128;
#else
  for (uint i = 0; i < 2; ++i) record[lane * 2 + i] = present ? block[i] : 0;
  return 64;
#endif
}

kernel void pack_blocks(global const uchar *rows_in, ulong row_bytes, int row_count, global uchar *panels,
                        int first_panel, uint K) {
  const uint index = get_global_id(0);
  const uint panel = get_global_id(1);
  global uchar *record =
      panels + ((size_t)(first_panel + panel) * (K / BLOCK_ELEMENTS) + index) * (size_t)RECORD_BYTES;
  for (uint lane = 0; lane < 32; ++lane) {
    const uint row = panel * 32 + lane;
    const int present = row < (uint)row_count;
    global const uchar *in = rows_in + (present ? row : 0) * row_bytes;
    global uchar *low = record + pack_scales(in + (size_t)index * BLOCK_BYTES, record, lane, present);
    global uchar *high = low + BLOCK_ELEMENTS / 2 * 32;
    for (uint k = 0; k < BLOCK_ELEMENTS; k += 8) {
      int q[8];
      vstore8(present ? block_quants(in, index * BLOCK_ELEMENTS + k) : (int8)(0), 0, q);
#if FORMAT == FORMAT_Q8_0
      for (uint i = 0; i < 8; ++i) low[(k + i) * 32 + lane] = (uchar)q[i];
#else
      for (uint i = 0; i < 8; i += 2) {
        low[(k + i) / 2 * 32 + lane] = (uchar)((q[i] & 15) | (q[i + 1] & 15) << 4);
      }
#endif
#if FORMAT == FORMAT_Q5_0 || FORMAT == FORMAT_Q5_1 || FORMAT == FORMAT_Q5_K
      uint bits = 0;
      for (uint i = 0; i < 8; ++i) bits |= (uint)(q[i] >> 4) << i;
      high[k / 8 * 32 + lane] = (uchar)bits;
#elif FORMAT == FORMAT_Q6_K
      for (uint i = 0; i < 8; i += 4) {
        high[(k + i) / 4 * 32 + lane] =
            (uchar)(q[i] >> 4 | q[i + 1] >> 4 << 2 | q[i + 2] >> 4 << 4 | q[i + 3] >> 4 << 6);
      }
#endif
    }
  }
}
#endif
