// Attention within each sequence of a packed batch on CPU-class devices, in register tiles, forward and backward.
// Where causal is 1 a row reads only rows up to itself; `shared` query heads that stand together read one key head.
//
//   q, gradient  [rows, heads · DIM] float, rows *_stride elements apart, from element *_offset
//   k, v         [rows, heads / shared · DIM] float, the same
//   output, sums [rows, heads · DIM] and [rows, heads] float, the same: the forward's results
//   tiles        [tiles, 4] int: first row of up to QUERIES rows, first row of their sequence and its end, and the
//                sequence's first block
//   blocks       [blocks, 2] int: first row of up to 32 rows, end of their sequence
//   packed       [blocks, heads / shared, 32 / TILE_COLUMNS, DIM, TILE_COLUMNS] float: rows of k or v turned, so
//                that a vector holds as many rows; zero from the end on
//   sequences    [sequences, 3] int: first row, end, first block
//   y            [rows, heads · DIM] float, packed
//   log_sum_exp  [rows, heads] float: ln Σ exp(scale · q·k), written where wants_sums is 1
//   result       [rows, (heads + 2 · heads / shared) · DIM] float, packed: dq, dk, dv side by side
// Order, which depends on the sequence alone: forward, a softmax over SPAN keys at a time, spans from the sequence's
// first row on; backward, by query heads, rows in blocks of QUERIES_BACK, and for them keys in spans.
// Launch: encoder_attention_turn (heads / shared, blocks), encoder_attention_tiles (heads, tiles),
// encoder_attention_tiles_gradient (heads / shared, sequences) items, groups of 1. DIM is a multiple of TILE_COLUMNS.
// vector_math with VEC 16 and register_tile come before.
#define QUERIES 12u
#define QUERIES_BACK 48u
// A multiple of QUERIES_BACK and of 32.
#define SPAN 96u
// Between rows of weights; not a power of two, so that rows do not meet in the cache.
#define PITCH (SPAN + 16)

kernel void encoder_attention_turn(global const float *x, uint x_offset, uint x_stride,
                                   global const int *blocks, global float *packed) {
  const uint head = get_global_id(0), heads = get_global_size(0);
  const size_t block = get_global_id(1);
  const int first = blocks[2 * block], count = min(32, blocks[2 * block + 1] - first);
  global const float *source = x + x_offset + (size_t)first * x_stride + head * DIM;
  global float *target = packed + (block * heads + head) * 32 * DIM;
  for (int part = 0; part < 32; part += TILE_COLUMNS, target += DIM * TILE_COLUMNS) {
    for (int r = 0; r < TILE_COLUMNS; ++r) {
      const int row = part + r;
      for (uint d = 0; d < DIM; ++d) {
        target[d * TILE_COLUMNS + r] = row < count ? source[(size_t)row * x_stride + d] : 0.0f;
      }
    }
  }
}

// Turns TILE_ROWS rows of x to [DIM, TILE_ROWS], times `factor`; rows from `count` on are zero.
void turn_rows(global const float *x, uint stride, int count, float factor, float *turned) {
  for (int r = 0; r < TILE_ROWS; ++r) {
    for (uint d = 0; d < DIM; ++d) {
      turned[d * TILE_ROWS + r] = r < count ? x[(size_t)r * stride + d] * factor : 0.0f;
    }
  }
}

#define SCORE_STORE(r)                                  \
  store_lanes(a##r, 0, target + r * PITCH + part);      \
  store_lanes(b##r, 1, target + r * PITCH + part);

// target[r][j] = turned row r · packed row j, for `count` packed rows rounded up to TILE_COLUMNS.
void tile_scores(const float *turned, global const float *packed, size_t block_stride, uint count, float *target) {
  for (uint part = 0; part < count; part += TILE_COLUMNS) {
    global const float *right = packed + part / 32 * block_stride + part % 32 * DIM;
    EACH_ROW(TILE_ZERO)
    TILE_MULTIPLY(private, turned, 1, TILE_ROWS, global, right, TILE_COLUMNS, DIM)
    EACH_ROW(SCORE_STORE)
  }
}

#define OUTPUT_LOAD(r)                                                               \
  lanes a##r = load_lanes(0, output + r * DIM + c) * (lanes)(factor[r]);             \
  lanes b##r = load_lanes(1, output + r * DIM + c) * (lanes)(factor[r]);
#define OUTPUT_STORE(r)                                 \
  store_lanes(a##r, 0, output + r * DIM + c);           \
  store_lanes(b##r, 1, output + r * DIM + c);

kernel void encoder_attention_tiles(global const float *q, uint q_offset, uint q_stride,
                                    global const float *packed, global const float *v, uint v_offset,
                                    uint v_stride, global const int *tiles, global float *y,
                                    global float *log_sum_exp, int wants_sums, int causal, uint heads,
                                    uint shared, float scale) {
  const uint head = get_global_id(0), kv_head = head / shared, kv_heads = heads / shared;
  global const int *tile = tiles + 4 * get_global_id(1);
  const int start = tile[1], end = tile[2];
  const int rows_end = min(tile[0] + (int)QUERIES, end);
  const size_t block_stride = (size_t)kv_heads * 32 * DIM;
  float query[DIM * TILE_ROWS], output[TILE_ROWS * DIM], weights[TILE_ROWS * PITCH];
  float highest[TILE_ROWS], total[TILE_ROWS], factor[TILE_ROWS];
  for (int row = tile[0]; row < rows_end; row += TILE_ROWS) {
    const int valid = min((int)TILE_ROWS, rows_end - row);
    const int limit = causal ? row + valid : end;
    turn_rows(q + q_offset + (size_t)row * q_stride + head * DIM, q_stride, valid, scale, query);
    for (uint i = 0; i < TILE_ROWS * DIM; ++i) output[i] = 0.0f;
    for (uint r = 0; r < TILE_ROWS; ++r) {
      highest[r] = -INFINITY;
      total[r] = 0.0f;
    }
    for (int first = start; first < limit; first += SPAN) {
      const uint count = (uint)min((int)SPAN, limit - first);
      tile_scores(query, packed + ((size_t)tile[3] + (first - start) / 32) * block_stride + kv_head * 32 * DIM,
                  block_stride, count, weights);
      for (int r = 0; r < TILE_ROWS; ++r) {
        // A row that sees nothing of this span keeps what it has; rows beyond the last are not written.
        const int visible = causal ? clamp(row + r + 1 - first, 0, (int)count) : (int)count;
        float *line = weights + r * PITCH;
        float16 peaks = (float16)(highest[r]);
        for (int j = 0; j < visible; j += 16) {
          const float16 s = keep_lanes(vload16(0, line + j), (uint)(visible - j), -INFINITY);
          peaks = select(peaks, s, s > peaks);
        }
        const float peak = max_lanes(peaks);
        float16 sums = (float16)(0.0f);
        for (int j = 0; j < (int)count; j += 16) {
          float16 p = (float16)(0.0f);
          if (j < visible) {
            p = keep_lanes(exp_real(vload16(0, line + j) - (float16)(peak)), (uint)(visible - j), 0.0f);
          }
          sums += p;
          vstore16(p, 0, line + j);
        }
        factor[r] = visible > 0 ? exp_real((float16)(highest[r] - peak)).s0 : 1.0f;
        highest[r] = peak;
        total[r] = fma(total[r], factor[r], sum_lanes(sums));
      }
      for (uint c = 0; c < DIM; c += TILE_COLUMNS) {
        global const float *values = v + v_offset + (size_t)first * v_stride + kv_head * DIM + c;
        EACH_ROW(OUTPUT_LOAD)
        TILE_MULTIPLY(private, weights, PITCH, 1, global, values, v_stride, count)
        EACH_ROW(OUTPUT_STORE)
      }
    }
    for (int r = 0; r < valid; ++r) {
      global float *target = y + ((size_t)(row + r) * heads + head) * DIM;
      for (uint c = 0; c < DIM; c += 16) {
        vstore16(vload16(0, output + r * DIM + c) / (float16)(total[r]), 0, target + c);
      }
      if (wants_sums) log_sum_exp[(size_t)(row + r) * heads + head] = highest[r] + log(total[r]);
    }
  }
}

#define SUM_LOAD(r)                                                                              \
  lanes a##r = (lanes)(0.0f), b##r = (lanes)(0.0f);                                              \
  if (adds && r < valid) {                                                                       \
    a##r = load_lanes(0, target + (size_t)r * width + c);                                        \
    b##r = load_lanes(1, target + (size_t)r * width + c);                                        \
  }
#define SUM_STORE(r)                                            \
  if (r < valid) {                                              \
    store_lanes(a##r, 0, target + (size_t)r * width + c);       \
    store_lanes(b##r, 1, target + (size_t)r * width + c);       \
  }

// target += Σ over terms: row r's weights are r · PITCH, its terms 1 apart.
void add_along_row(const float *weights, global const float *x, uint x_stride, uint terms, int valid, int adds,
                   global float *target, size_t width) {
  for (uint c = 0; c < DIM; c += TILE_COLUMNS) {
    EACH_ROW(SUM_LOAD)
    TILE_MULTIPLY(private, weights, PITCH, 1, global, x + c, x_stride, terms)
    EACH_ROW(SUM_STORE)
  }
}

// The same with weights turned: row r's are 1 apart, its terms PITCH apart.
void add_along_column(const float *weights, global const float *x, uint x_stride, uint terms, int valid, int adds,
                      global float *target, size_t width) {
  for (uint c = 0; c < DIM; c += TILE_COLUMNS) {
    EACH_ROW(SUM_LOAD)
    TILE_MULTIPLY(private, weights, 1, PITCH, global, x + c, x_stride, terms)
    EACH_ROW(SUM_STORE)
  }
}

// Weights p = exp(scale · s − lse) in place of s, and slopes scale · p · (t − product) in place of t, of one row.
void slopes_of_row(float *weights, float *slopes, uint count, int visible, float scale, float sum,
                   float product) {
  for (int j = 0; j < (int)count; j += 16) {
    float16 p = (float16)(0.0f), slope = (float16)(0.0f);
    if (j < visible) {
      const uint seen = (uint)(visible - j);
      p = keep_lanes(exp_real(fma(vload16(0, weights + j), (float16)(scale), (float16)(-sum))), seen, 0.0f);
      slope = keep_lanes(p * (vload16(0, slopes + j) - (float16)(product)) * (float16)(scale), seen, 0.0f);
    }
    vstore16(p, 0, weights + j);
    vstore16(slope, 0, slopes + j);
  }
}

kernel void encoder_attention_tiles_gradient(
    global const float *q, uint q_offset, uint q_stride, global const float *k, uint k_offset, uint k_stride,
    global const float *packed_k, global const float *packed_v, global const float *gradient,
    uint gradient_offset, uint gradient_stride, global const float *output, uint output_offset,
    uint output_stride, global const float *sums, uint sums_offset, uint sums_stride,
    global const int *sequences, global float *result, uint heads, uint shared, int causal, float scale) {
  const uint kv_head = get_global_id(0), kv_heads = heads / shared;
  global const int *sequence = sequences + 3 * get_global_id(1);
  const int start = sequence[0], end = sequence[1];
  const size_t block_stride = (size_t)kv_heads * 32 * DIM, width = (size_t)(heads + 2 * kv_heads) * DIM;
  float turned[DIM * TILE_ROWS];
  // The last rows of tiles of keys may lie behind the span: their sums are not stored.
  float weights[QUERIES_BACK * PITCH + TILE_ROWS], slopes[QUERIES_BACK * PITCH + TILE_ROWS];
  for (uint i = 0; i < QUERIES_BACK * PITCH + TILE_ROWS; ++i) weights[i] = slopes[i] = 0.0f;
  for (uint head = kv_head * shared; head < (kv_head + 1) * shared; ++head) {
    global const float *queries = q + q_offset + head * DIM;
    global const float *gradients = gradient + gradient_offset + head * DIM;
    global const float *outputs = output + output_offset + head * DIM;
    for (int row = start; row < end; row += QUERIES_BACK) {
      const int rows = min((int)QUERIES_BACK, end - row);
      const int limit = causal ? row + rows : end;
      for (int first = start; first < limit; first += SPAN) {
        const uint count = (uint)min((int)SPAN, limit - first);
        const size_t place = ((size_t)sequence[2] + (first - start) / 32) * block_stride + kv_head * 32 * DIM;
        for (int tile = 0; tile < rows; tile += TILE_ROWS) {
          const int valid = min((int)TILE_ROWS, rows - tile);
          const size_t at = (size_t)(row + tile);
          float *weight = weights + tile * PITCH, *slope = slopes + tile * PITCH;
          turn_rows(queries + at * q_stride, q_stride, valid, 1.0f, turned);
          tile_scores(turned, packed_k + place, block_stride, count, weight);
          turn_rows(gradients + at * gradient_stride, gradient_stride, valid, 1.0f, turned);
          tile_scores(turned, packed_v + place, block_stride, count, slope);
          for (int r = 0; r < valid; ++r) {
            float16 product = (float16)(0.0f);
            for (uint d = 0; d < DIM; d += 16) {
              product = fma(vload16(0, gradients + (at + r) * gradient_stride + d),
                            vload16(0, outputs + (at + r) * output_stride + d), product);
            }
            slopes_of_row(weight + r * PITCH, slope + r * PITCH, count,
                          causal ? clamp(row + tile + r + 1 - first, 0, (int)count) : (int)count, scale,
                          sums[sums_offset + (at + r) * sums_stride + head], sum_lanes(product));
          }
          add_along_row(slope, k + k_offset + (size_t)first * k_stride + kv_head * DIM, k_stride, count, valid,
                        first > start, result + at * width + head * DIM, width);
        }
        for (int key = 0; key < (int)count; key += TILE_ROWS) {
          const int valid = min((int)TILE_ROWS, (int)count - key);
          // Where causal, the rows before this block have reached the keys up to them.
          const int adds = head > kv_head * shared || row > (causal ? first + key : start);
          global float *target = result + (size_t)(first + key) * width + (heads + kv_head) * DIM;
          add_along_column(slopes + key, queries + (size_t)row * q_stride, q_stride, (uint)rows, valid, adds,
                           target, width);
          add_along_column(weights + key, gradients + (size_t)row * gradient_stride, gradient_stride, (uint)rows,
                           valid, adds, target + kv_heads * DIM, width);
        }
      }
    }
  }
}
