// Attention within each sequence of a packed batch: a work-group a row and head. Where causal is 1 a row reads
// only rows up to itself; `shared` query heads that stand together read one key head.
//
//   q              [rows, heads · head_dim] float, rows *_stride elements apart, from element *_offset
//   k, v           [rows, heads / shared · head_dim] float, the same
//   bounds         [rows, 2] int: first row of the row's sequence, and its end (rows of q and y: with one query a
//                  sequence they are fewer than those of k and v)
//   y              [rows, heads · head_dim] float, packed
//   log_sum_exp    [rows, heads] float: ln Σ exp(scale · q·k), written where wants_sums is 1
// Order: online softmax over tiles of KEYS keys from the sequence's first row on; GROUP 1 takes a tile of 16 in
// one vector, larger groups a key an item.
// Launch: (GROUP · heads, rows) items in groups of (GROUP, 1). Tunable: VEC, GROUP (a power of two).
// Check: -DVEC=1 -DGROUP=64
#define MAX_HEAD_DIM 256
#if GROUP == 1
#define KEYS 16
#define SHARED
#define FENCE
#else
#define KEYS GROUP
#define SHARED local
#define FENCE barrier(CLK_LOCAL_MEM_FENCE)
#endif
#define COLUMNS (GROUP * VEC)

kernel void encoder_attention(global const float *q, uint q_offset, uint q_stride, global const float *k,
                              uint k_offset, uint k_stride, global const float *v, uint v_offset,
                              uint v_stride, global const int *bounds, global float *y,
                              global float *log_sum_exp, int wants_sums, int causal, uint heads,
                              uint shared, uint head_dim, float scale) {
  SHARED float query[MAX_HEAD_DIM];
  SHARED float weight[KEYS];
  GROUP_LOCAL(scratch);
  const uint head = get_group_id(0);
  const size_t row = GROUP_ROW;
  const int start = bounds[2 * row], end = causal ? (int)row + 1 : bounds[2 * row + 1];
  const size_t column = (size_t)(head / shared * head_dim);
  for (uint d = GROUP_ITEM; d < MAX_HEAD_DIM; d += GROUP) {
    query[d] = d < head_dim ? q[q_offset + row * q_stride + head * head_dim + d] * scale : 0.0f;
  }
  real output[(MAX_HEAD_DIM + COLUMNS - 1) / COLUMNS];
  const uint parts = (head_dim + COLUMNS - 1) / COLUMNS;
  for (uint i = 0; i < parts; ++i) output[i] = splat(0.0f);
  float highest = -INFINITY, total = 0.0f;
  FENCE;

  for (int first = start; first < end; first += KEYS) {
    const int count = min(KEYS, end - first);
#if GROUP == 1
    for (int j = 0; j < KEYS; ++j) weight[j] = -INFINITY;
    for (int j = 0; j < count; ++j) {
      global const float *key = k + k_offset + (size_t)(first + j) * k_stride + column;
      float16 sum = (float16)(0.0f);
      for (uint d = 0; d < head_dim; d += 16) {
        sum = fma(vload16(0, query + d), load_real(key + d, head_dim - d), sum);
      }
      weight[j] = sum_lanes(sum);
    }
    const float16 scores = vload16(0, weight);
    const float peak = fmax(highest, max_lanes(scores));
    const float16 p = keep_lanes(exp_real(scores - splat(peak)), (uint)count, 0.0f);
    vstore16(p, 0, weight);
    const float sum = sum_lanes(p);
    const float factor = exp_real(splat(highest - peak)).s0;
#else
    float score = -INFINITY;
    if ((int)GROUP_ITEM < count) {
      global const float *key = k + k_offset + (size_t)(first + (int)GROUP_ITEM) * k_stride + column;
      score = 0.0f;
      for (uint d = 0; d < head_dim; ++d) score = fma(query[d], key[d], score);
    }
    const float peak = fmax(highest, GROUP_MAX(score, scratch));
    const float p = (int)GROUP_ITEM < count ? exp_real(score - peak) : 0.0f;
    weight[GROUP_ITEM] = p;
    const float sum = GROUP_SUM(p, scratch);
    const float factor = exp_real(highest - peak);
#endif
    total = fma(total, factor, sum);
    highest = peak;
    for (uint i = 0; i < parts; ++i) output[i] *= factor;
    for (int j = 0; j < count; ++j) {
      global const float *value = v + v_offset + (size_t)(first + j) * v_stride + column;
      for (uint i = 0, c = GROUP_ITEM * VEC; c < head_dim; ++i, c += COLUMNS) {
        output[i] = fma(splat(weight[j]), load_real(value + c, head_dim - c), output[i]);
      }
    }
    FENCE;
  }
  for (uint i = 0, c = GROUP_ITEM * VEC; c < head_dim; ++i, c += COLUMNS) {
    store_real(output[i] / splat(total), y + (row * heads + head) * head_dim + c, head_dim - c);
  }
  if (wants_sums && GROUP_ITEM == 0) log_sum_exp[row * heads + head] = highest + log(total);
}
