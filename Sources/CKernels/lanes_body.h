// The fixed order of a sum kept in 16 lanes; included once for each instruction set, like rows_body.h.

RK_TARGET static float RK_FN(lane_sum)(const float *lanes) {
  float s[16];
  memcpy(s, lanes, sizeof s);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) s[i] += s[i + width];
  return s[0];
}
