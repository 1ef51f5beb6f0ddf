// The gradient of attention within each sequence of a packed batch. Weights come again from the log-sum-exp:
// p = exp(scale · q·k − lse), ds = p · (do·v − do·o); dv = Σ p · do, dk = scale · Σ ds · q, dq = scale · Σ ds · k.
//
//   q, gradient    [rows, heads · DIM] float, rows *_stride elements apart, from element *_offset
//   k, v           [rows, heads / shared · DIM] float, the same
//   output         [rows, heads · DIM] float, the same: the forward's
//   sums           [rows, heads] float, the same: the forward's log-sum-exp
//   products       [rows, heads] float, packed: do·o
//   blocks         [blocks, 3] int: first row of up to 16 rows, first row of their sequence and its end
//   result         [rows, (heads + 2 · heads / shared) · DIM] float, packed: dq, dk, dv side by side
// Order: dq over tiles of TILE keys from the sequence's first on; dk and dv over the query heads of a key head, and
// for each over tiles of TILE rows.
// Launch: products one item a head and row; the others groups of (TILE, TILE, 1) items, a group a head (of keys in
// the second), a block and a part of it: (TILE · heads, TILE · blocks, 16 / TILE). Tunable: TILE (8, 16).
// 0 − sum instead of −sum: Intel's runtime for CPUs loses negations that live across a barrier (CONTRIBUTING.md).
// vector_math with VEC 1 comes before.
// Check: -DTILE=16 -DDIM=32,64
// Check: -DTILE=8 -DDIM=128
#define PITCH (DIM | 1)
#define PARTS ((DIM + TILE - 1) / TILE)

kernel void encoder_attention_products(global const float *gradient, uint gradient_offset, uint gradient_stride,
                                       global const float *output, uint output_offset, uint output_stride,
                                       global float *products, uint heads) {
  const uint head = get_global_id(0);
  const size_t row = get_global_id(1);
  global const float *a = gradient + gradient_offset + row * gradient_stride + head * DIM;
  global const float *b = output + output_offset + row * output_stride + head * DIM;
  float sum = 0.0f;
  for (uint d = 0; d < DIM; ++d) sum = fma(a[d], b[d], sum);
  products[row * heads + head] = sum;
}

// Rows `first` to `first` + TILE of x; zero from `end` on.
void load_tile(local float *tile, global const float *x, uint stride, int first, int end) {
  const int row = first + (int)get_local_id(1);
  for (uint d = get_local_id(0); d < DIM; d += TILE) {
    tile[get_local_id(1) * PITCH + d] = row < end ? x[(size_t)row * stride + d] : 0.0f;
  }
}

float dot_tile(local const float *a, local const float *b) {
  float sum = 0.0f;
  for (uint d = 0; d < DIM; ++d) sum = fma(a[d], b[d], sum);
  return sum;
}

kernel void encoder_attention_query_gradient(
    global const float *q, uint q_offset, uint q_stride, global const float *k, uint k_offset, uint k_stride,
    global const float *v, uint v_offset, uint v_stride, global const float *gradient, uint gradient_offset,
    uint gradient_stride, global const float *sums, uint sums_offset, uint sums_stride,
    global const float *products, global const int *blocks, global float *result, uint heads, uint shared,
    int causal, float scale) {
  local float query[TILE * PITCH], slope_of_output[TILE * PITCH], keys[TILE * PITCH], values[TILE * PITCH];
  local float slopes[TILE * (TILE + 1)];
  const uint tx = get_local_id(0), ty = get_local_id(1);
  const uint head = get_group_id(0), column = head / shared * DIM;
  const uint block = get_group_id(1);
  const int first = blocks[3 * block] + (int)get_group_id(2) * TILE;
  const int start = blocks[3 * block + 1], end = blocks[3 * block + 2];
  if (first >= end) return;
  const int row = first + (int)ty;
  load_tile(query, q + q_offset + head * DIM, q_stride, first, end);
  load_tile(slope_of_output, gradient + gradient_offset + head * DIM, gradient_stride, first, end);
  const float sum = row < end ? sums[sums_offset + (size_t)row * sums_stride + head] : 0.0f;
  const float product = row < end ? products[(size_t)row * heads + head] : 0.0f;
  float total[PARTS];
  for (uint i = 0; i < PARTS; ++i) total[i] = 0.0f;
  const int limit = causal ? min(first + TILE, end) : end;
  for (int key = start; key < limit; key += TILE) {
    barrier(CLK_LOCAL_MEM_FENCE);
    load_tile(keys, k + k_offset + column, k_stride, key, end);
    load_tile(values, v + v_offset + column, v_stride, key, end);
    barrier(CLK_LOCAL_MEM_FENCE);
    const int other = key + (int)tx;
    float slope = 0.0f;
    if (row < end && other < end && (!causal || other <= row)) {
      const float p = exp_real(fma(dot_tile(query + ty * PITCH, keys + tx * PITCH), scale, 0.0f - sum));
      slope = p * (dot_tile(slope_of_output + ty * PITCH, values + tx * PITCH) - product);
    }
    slopes[ty * (TILE + 1) + tx] = slope;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0, d = tx; d < DIM; ++i, d += TILE) {
      for (uint j = 0; j < TILE; ++j) total[i] = fma(slopes[ty * (TILE + 1) + j], keys[j * PITCH + d], total[i]);
    }
  }
  if (row >= end) return;
  const size_t width = (heads + 2 * (heads / shared)) * DIM;
  for (uint i = 0, d = tx; d < DIM; ++i, d += TILE) result[(size_t)row * width + head * DIM + d] = total[i] * scale;
}

kernel void encoder_attention_key_gradient(
    global const float *q, uint q_offset, uint q_stride, global const float *k, uint k_offset, uint k_stride,
    global const float *v, uint v_offset, uint v_stride, global const float *gradient, uint gradient_offset,
    uint gradient_stride, global const float *sums, uint sums_offset, uint sums_stride,
    global const float *products, global const int *blocks, global float *result, uint heads, uint shared,
    int causal, float scale) {
  local float query[TILE * PITCH], slope_of_output[TILE * PITCH], keys[TILE * PITCH], values[TILE * PITCH];
  local float weights[TILE * (TILE + 1)], slopes[TILE * (TILE + 1)];
  const uint tx = get_local_id(0), ty = get_local_id(1);
  const uint kv_head = get_group_id(0), block = get_group_id(1);
  const int first = blocks[3 * block] + (int)get_group_id(2) * TILE;
  const int start = blocks[3 * block + 1], end = blocks[3 * block + 2];
  if (first >= end) return;
  load_tile(keys, k + k_offset + kv_head * DIM, k_stride, first, end);
  load_tile(values, v + v_offset + kv_head * DIM, v_stride, first, end);
  float key_total[PARTS], value_total[PARTS];
  for (uint i = 0; i < PARTS; ++i) key_total[i] = value_total[i] = 0.0f;
  const int other = first + (int)tx;
  for (uint head = kv_head * shared; head < (kv_head + 1) * shared; ++head) {
    for (int tile = causal ? first : start; tile < end; tile += TILE) {
      barrier(CLK_LOCAL_MEM_FENCE);
      load_tile(query, q + q_offset + head * DIM, q_stride, tile, end);
      load_tile(slope_of_output, gradient + gradient_offset + head * DIM, gradient_stride, tile, end);
      barrier(CLK_LOCAL_MEM_FENCE);
      const int row = tile + (int)ty;
      float p = 0.0f, slope = 0.0f;
      if (row < end && other < end && (!causal || other <= row)) {
        const float sum = sums[sums_offset + (size_t)row * sums_stride + head];
        p = exp_real(fma(dot_tile(query + ty * PITCH, keys + tx * PITCH), scale, 0.0f - sum));
        slope = p * (dot_tile(slope_of_output + ty * PITCH, values + tx * PITCH) -
                     products[(size_t)row * heads + head]);
      }
      weights[ty * (TILE + 1) + tx] = p;
      slopes[ty * (TILE + 1) + tx] = slope;
      barrier(CLK_LOCAL_MEM_FENCE);
      for (uint i = 0, d = tx; d < DIM; ++i, d += TILE) {
        for (uint j = 0; j < TILE; ++j) {
          key_total[i] = fma(slopes[j * (TILE + 1) + ty], query[j * PITCH + d], key_total[i]);
          value_total[i] = fma(weights[j * (TILE + 1) + ty], slope_of_output[j * PITCH + d], value_total[i]);
        }
      }
    }
  }
  const int key = first + (int)ty;
  if (key >= end) return;
  const uint kv_heads = heads / shared;
  const size_t width = (heads + 2 * kv_heads) * DIM;
  global float *target = result + (size_t)key * width + (heads + kv_head) * DIM;
  for (uint i = 0, d = tx; d < DIM; ++i, d += TILE) {
    target[d] = key_total[i] * scale;
    target[kv_heads * DIM + d] = value_total[i];
  }
}
