// y = x Wᵀ + bias on CPU-class devices: one work-item computes whole panels of 32 columns in registers.
//
//   x        [rows, K] float, rows x_stride elements apart, from element x_offset
//   packed   [ceil(rows / 12), K, 12] float: x in tiles of 12 rows (pack_rows)
//   panels   W in panels of 32 columns (panel_formats.opencl)
//   bias     [N] float from element bias_offset, read where has_bias
//   y        [rows, N] float, rows y_stride elements apart, from element y_offset
// Order of sums: 256 consecutive k's by fma in order, then these partial sums in order; the same in both kernels
// and in the GPU-class ones, so a row does not depend on its batch.
// matmul_rows: ceil(N / 32) items, groups of 1, at most ROWS rows. matmul_tile: (ceil(N / 32), row blocks) items,
// groups of 1; each takes block_tiles tiles of 12 rows. Tunable: ROWS (1, 4, 8).
#ifndef ROWS
#define ROWS 1
#endif
#define CHUNK 256u

#define EACH_1(F) F(0)
#define EACH_2(F) F(0) F(1)
#define EACH_4(F) EACH_2(F) F(2) F(3)
#define EACH_8(F) EACH_4(F) F(4) F(5) F(6) F(7)
#define EACH_12(F) EACH_8(F) F(8) F(9) F(10) F(11)
#define EACH_(n, F) EACH_##n(F)
#define EACH(n, F) EACH_(n, F)

// Stores 32 columns of which `count` exist.
void store_columns(float16 a, float16 b, global float *y, uint count) {
  if (count >= 32) {
    vstore16(a, 0, y);
    vstore16(b, 1, y);
    return;
  }
  float values[32];
  vstore16(a, 0, values);
  vstore16(b, 1, values);
  for (uint i = 0; i < count; ++i) y[i] = values[i];
}

float16 load_columns(global const float *p, uint first, uint count) {
  if (first + 16 <= count) return vload16(0, p + first);
  float values[16];
  for (uint i = 0; i < 16; ++i) values[i] = first + i < count ? p[first + i] : 0.0f;
  return vload16(0, values);
}

#define ROW_POINTER(r) global const float *x##r = x + x_offset + (size_t)min((uint)r, rows - 1) * x_stride;
#define ROW_TOTAL(r) float16 t##r##a = (float16)(-0.0f), t##r##b = (float16)(-0.0f);
#define ROW_ZERO(r) float16 a##r = (float16)(0.0f), c##r = (float16)(0.0f);
#define ROW_FMA(r)                              \
  {                                             \
    const float16 v = (float16)(x##r[kk]);      \
    a##r = fma(v, w0, a##r);                    \
    c##r = fma(v, w1, c##r);                    \
  }
#define ROW_ADD(r) t##r##a += a##r; t##r##b += c##r;
#define ROW_STORE(r)                                                                              \
  if (r < rows) {                                                                                 \
    store_columns(t##r##a + bias0, t##r##b + bias1, y + y_offset + (size_t)r * y_stride + first,  \
                  N - first);                                                                     \
  }

kernel void matmul_rows(global const float *x, uint x_offset, uint x_stride, global const uchar *panels,
                        global const float *bias, uint bias_offset, int has_bias, global float *y,
                        uint y_offset, uint y_stride, uint rows, uint K, uint N) {
  const uint first = get_global_id(0) * 32;
  global const uchar *panel = panels + get_global_id(0) * PANEL_BYTES(K);
  EACH(ROWS, ROW_POINTER)
  EACH(ROWS, ROW_TOTAL)
  for (uint chunk = 0; chunk < K; chunk += CHUNK) {
    EACH(ROWS, ROW_ZERO)
    const uint end = min(chunk + CHUNK, K);
    for (uint k0 = chunk; k0 < end; k0 += GROUP_K) {
      const uint count = min((uint)GROUP_K, end - k0);
      PANEL_GROUP(panel, k0, count, EACH(ROWS, ROW_FMA))
    }
    EACH(ROWS, ROW_ADD)
  }
  float16 bias0 = (float16)(-0.0f), bias1 = (float16)(-0.0f);
  if (has_bias) {
    bias0 = load_columns(bias + bias_offset + first, 0, N - first);
    bias1 = load_columns(bias + bias_offset + first, 16, N - first);
  }
  EACH(ROWS, ROW_STORE)
}

#define TILE_ZERO(r) float16 a##r = (float16)(0.0f), c##r = (float16)(0.0f);
#define TILE_FMA(r)                          \
  {                                          \
    const float16 v = (float16)(source[r]);  \
    a##r = fma(v, w0, a##r);                 \
    c##r = fma(v, w1, c##r);                 \
  }
#define TILE_STORE(r)                                                      \
  if (r < valid) {                                                         \
    global float *out = corner + (size_t)r * y_stride;                     \
    if (chunk > 0) {                                                       \
      a##r = load_columns(out, 0, columns) + a##r;                         \
      c##r = load_columns(out, 16, columns) + c##r;                        \
    }                                                                      \
    store_columns(a##r + bias0, c##r + bias1, out, columns);               \
  }

kernel void matmul_tile(global const float *packed, global const uchar *panels, global const float *bias,
                        uint bias_offset, int has_bias, global float *y, uint y_offset, uint y_stride,
                        uint rows, uint K, uint N, uint block_tiles) {
  const uint first = get_global_id(0) * 32;
  const uint columns = N - first;
  const uint first_tile = get_global_id(1) * block_tiles;
  const uint last_tile = min(first_tile + block_tiles, (rows + 11) / 12);
  global const uchar *panel = panels + get_global_id(0) * PANEL_BYTES(K);
#if FORMAT != FORMAT_F32
  local float unpacked[CHUNK * 32];
#endif
  for (uint chunk = 0; chunk < K; chunk += CHUNK) {
    const uint end = min(chunk + CHUNK, K);
#if FORMAT == FORMAT_F32
    global const float *weights = (global const float *)panel + (size_t)chunk * 32;
#else
    local const float *weights = unpacked;
    for (uint k0 = chunk; k0 < end; k0 += GROUP_K) {
      const uint count = min((uint)GROUP_K, end - k0);
      PANEL_GROUP(panel, k0, count, {
        vstore16(w0, (kk - chunk) * 2, unpacked);
        vstore16(w1, (kk - chunk) * 2 + 1, unpacked);
      })
    }
#endif
    float16 bias0 = (float16)(-0.0f), bias1 = (float16)(-0.0f);
    if (has_bias && end == K) {
      bias0 = load_columns(bias + bias_offset + first, 0, columns);
      bias1 = load_columns(bias + bias_offset + first, 16, columns);
    }
    for (uint tile = first_tile; tile < last_tile; ++tile) {
      global const float *source = packed + ((size_t)tile * K + chunk) * 12;
      EACH_12(TILE_ZERO)
      for (uint k = 0; k < end - chunk; ++k, source += 12) {
        const float16 w0 = vload16(k * 2, weights), w1 = vload16(k * 2 + 1, weights);
        EACH_12(TILE_FMA)
      }
      const uint valid = min(12u, rows - tile * 12);
      global float *corner = y + y_offset + (size_t)tile * 12 * y_stride + first;
      EACH_12(TILE_STORE)
    }
  }
}

// Packs x into tiles of 12 rows, missing rows as zeros. Launch: (tiles, ceil(K / 64)) items.
kernel void pack_rows(global const float *x, uint x_offset, uint x_stride, global float *packed, uint rows,
                      uint K) {
  const uint tile = get_global_id(0);
  const uint k_first = get_global_id(1) * 64;
  const uint k_last = min(k_first + 64, K);
  global float *out = packed + (size_t)tile * K * 12;
  for (uint r = 0; r < 12; ++r) {
    const uint row = tile * 12 + r;
    global const float *in = x + x_offset + (size_t)row * x_stride;
    for (uint k = k_first; k < k_last; ++k) out[(size_t)k * 12 + r] = row < rows ? in[k] : 0.0f;
  }
}
