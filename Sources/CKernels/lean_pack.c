// Packing of quantised rows into panels, and plain dequantisation.
#include "lean_layout.h"

size_t rk_lean_panel_bytes(rk_type type, int k) {
  lean_info info = lean_describe(type);
  return info.block ? (size_t)(k / info.block) * (size_t)lean_unit_bytes(info) : 0;
}

static void pack_codes(lean_info info, const uint8_t q[32], int row, uint8_t *out) {
  for (int g = 0; g < 8; g++) {
    for (int j = 0; j < 4; j++) {
      uint8_t code = q[4 * g + j];
      int byte = row * 4 + j;
      if (info.bits == 8) {
        out[g * 64 + byte] = code;
        continue;
      }
      out[(g & 3) * 64 + byte] |= (uint8_t)((code & 15) << (g < 4 ? 0 : 4));
      if (info.bits == 5) out[256 + byte] |= (uint8_t)((code >> 4) << g);
      if (info.bits == 6) out[256 + (g / 4) * 64 + byte] |= (uint8_t)((code >> 4) << (2 * (g & 3)));
    }
  }
}

static void pack_header(rk_type type, lean_info info, const uint8_t *block, int row, uint8_t *unit) {
  if (!info.is_k) {
    memcpy(unit + row * 2, block, 2);
    if (info.has_min) memcpy(unit + 32 + row * 2, block + 2, 2);
    return;
  }
  if (type == RK_Q6_K) {
    memcpy(unit + row * 2, block + 208, 2);
    for (int s = 0; s < 8; s++)
      for (int half = 0; half < 2; half++) unit[64 + s * 32 + half * 16 + row] = block[192 + s * 2 + half];
    return;
  }
  memcpy(unit + row * 2, block, 2);
  memcpy(unit + 32 + row * 2, block + 2, 2);
  for (int i = 0; i < 12; i++) unit[64 + i * 16 + row] = block[4 + i];
}

void rk_lean_pack(rk_type type, const uint8_t *source, size_t row_bytes, int rows, int k, uint8_t *panel) {
  lean_info info = lean_describe(type);
  size_t unit_bytes = (size_t)lean_unit_bytes(info);
  int units = k / info.block, header = lean_header_bytes(info), subs = info.is_k ? 8 : 1;
  memset(panel, 0, (size_t)units * unit_bytes);
  for (int u = 0; u < units; u++) {
    uint8_t *unit = panel + (size_t)u * unit_bytes;
    for (int row = 0; row < rows; row++) {
      const uint8_t *block = source + (size_t)row * row_bytes + (size_t)u * (size_t)info.source_bytes;
      pack_header(type, info, block, row, unit);
      for (int s = 0; s < subs; s++) {
        uint8_t q[32];
        lean_codes(type, block, s, q);
        pack_codes(info, q, row, unit + header + s * info.code_bytes);
      }
    }
  }
}

static void dequantize_block(rk_type type, lean_info info, const uint8_t *b, float *out) {
  uint8_t q[32];
  if (!info.is_k) {
    float d = rk_half_to_float(read_u16(b)), m = info.has_min ? rk_half_to_float(read_u16(b + 2)) : 0;
    lean_codes(type, b, 0, q);
    for (int i = 0; i < 32; i++) out[i] = d * (float)((int)q[i] - info.offset) + m;
    return;
  }
  for (int s = 0; s < 8; s++) {
    lean_codes(type, b, s, q);
    if (type == RK_Q6_K) {
      float d = rk_half_to_float(read_u16(b + 208));
      for (int i = 0; i < 32; i++)
        out[s * 32 + i] = d * (float)(int8_t)b[192 + s * 2 + i / 16] * (float)((int)q[i] - 32);
    } else {
      uint8_t scale, minimum;
      k_scale_min(s, b + 4, 1, &scale, &minimum);
      float d = rk_half_to_float(read_u16(b)) * scale, m = rk_half_to_float(read_u16(b + 2)) * minimum;
      for (int i = 0; i < 32; i++) out[s * 32 + i] = d * (float)q[i] - m;
    }
  }
}

void rk_dequantize(rk_type type, const uint8_t *source, float *out, size_t count) {
  switch (type) {
    case RK_F32: memcpy(out, source, count * 4); return;
    case RK_F16:
      for (size_t i = 0; i < count; i++) out[i] = rk_half_to_float(read_u16(source + 2 * i));
      return;
    case RK_BF16:
      for (size_t i = 0; i < count; i++) out[i] = rk_bf16_to_float(read_u16(source + 2 * i));
      return;
    default: break;
  }
  lean_info info = lean_describe(type);
  for (size_t i = 0; i < count / (size_t)info.block; i++)
    dequantize_block(type, info, source + i * (size_t)info.source_bytes, out + i * (size_t)info.block);
}
