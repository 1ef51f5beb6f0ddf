// Attention within each sequence of a packed batch on CPU-class devices, in register tiles, forward and backward.
// Where causal is 1 a row reads only rows up to itself; `shared` query heads that stand together read one key head.
//
//   q, gradient  [rows, heads · DIM] float, rows *_stride elements apart, from element *_offset
//   k, v         [rows, heads / shared · DIM] float, the same
//   output, sums [rows, heads · DIM] and [rows, heads] float, the same: the forward's results
//   parts        [parts, 4] int: first of up to QUERIES rows and their end, first row of their sequence and its end
//   sequences    [sequences, 2] int: first row and end
//   y            [rows, heads · DIM] float, packed
//   log_sum_exp  [rows, heads] float: ln Σ exp(scale · q·k), written where wants_sums is 1
//   result       [rows, (heads + 2 · heads / shared) · DIM] float, packed: dq, dk, dv side by side
// Order, which depends on the sequence alone: SPAN keys at a time, from the sequence's first row on; forward, a softmax
// over each span; backward, for each span by query heads, rows in blocks of QUERIES_BACK.
// Rows of a head lie kilobytes apart: an item copies a span's, so that tiles read memory in order, and asks for those
// of the head that comes next. Exponentials are powers of two: scores are multiplied by log₂ e with the scale.
// Launch: encoder_attention_tiles (heads, parts), encoder_attention_tiles_gradient (heads / shared, sequences) items,
// groups of 1. DIM is a multiple of TILE_COLUMNS. vector_math with VEC 16, register_tile and
// turn_eight come before.

// Multiples of TILE_ROWS.
#define QUERIES 132
#define QUERIES_BACK 48
// A multiple of TILE_COLUMNS.
#define SPAN (DIM > 128 ? 64 : 128)
// Between rows of weights: room for a tile that reaches behind the span, and not a power of two, so that rows do not
// meet in the cache.
#define PITCH (SPAN + 16)
#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f

#if LANES == 8
typedef int8 whole_lanes;
#define as_lanes(x) as_float8(x)
#define as_whole_lanes(x) as_int8(x)
#define LANE_NUMBERS ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
float lanes_sum(lanes x) {
  const float4 a = x.lo + x.hi;
  const float2 b = a.lo + a.hi;
  return b.x + b.y;
}
float lanes_max(lanes x) {
  const float4 a = fmax(x.lo, x.hi);
  const float2 b = fmax(a.lo, a.hi);
  return fmax(b.x, b.y);
}
#else
typedef int16 whole_lanes;
#define as_lanes(x) as_float16(x)
#define as_whole_lanes(x) as_int16(x)
#define LANE_NUMBERS VEC_LANES
#define lanes_sum(x) sum_lanes(x)
#define lanes_max(x) max_lanes(x)
#endif

DEFINE_POWER_OF_TWO(lanes_power_of_two, lanes, as_lanes, as_whole_lanes)

// `count` rows of DIM numbers one after the other, times `factor`.
void copy_rows(global const float *x, uint stride, int count, float factor, float *target) {
  for (int r = 0; r < count; ++r) {
    for (uint d = 0; d < DIM; d += LANES) {
      store_lanes(load_lanes(0, x + (size_t)r * stride + d) * (lanes)(factor), 0, target + r * DIM + d);
    }
  }
}

void fetch_rows(global const float *x, uint stride, int count) {
  for (int r = 0; r < count; ++r) {
    for (uint d = 0; d < DIM; d += 16) FETCH_LINE(x + (size_t)r * stride + d);
  }
}

DEFINE_TURN_EIGHT(turn_numbers, private)

// Rows turned, [count / TILE_COLUMNS, DIM, TILE_COLUMNS]: a vector holds a number of several rows. Rows from `count`
// on are zero.
void turn_rows(global const float *x, uint stride, int count, float *target) {
  for (int part = 0; part < count; part += TILE_COLUMNS, target += DIM * TILE_COLUMNS) {
    for (int r = 0; r < TILE_COLUMNS; r += 8) {
      for (uint d = 0; d < DIM; d += 8) {
        turn_numbers(x + (size_t)(part + r) * stride + d, stride, count - part - r,
                     target + d * TILE_COLUMNS + r);
      }
    }
  }
}

// Scores of row r in its first seen + r · causal keys stay, the others become −∞.
#define SCORE_HIDE(r)                                                                                    \
  a##r = select((lanes)(-INFINITY), a##r, LANE_NUMBERS < (whole_lanes)(seen + r * causal - part));       \
  b##r = select((lanes)(-INFINITY), b##r, LANE_NUMBERS < (whole_lanes)(seen + r * causal - part - LANES));
#define SCORE_STORE(r)                                                                                   \
  {                                                                                                      \
    const lanes top = load_lanes(r, peaks), high = select(b##r, a##r, a##r > b##r);                      \
    store_lanes(select(top, high, high > top), r, peaks);                                                \
    store_lanes(a##r, 0, weights + r * PITCH + part);                                                    \
    store_lanes(b##r, 1, weights + r * PITCH + part);                                                    \
  }

// Scores become weights; returns their sum.
float weigh_row(float *line, float peak, int count) {
  const lanes top = (lanes)(peak);
  lanes sums = (lanes)(0.0f), others = (lanes)(0.0f);
  for (int j = 0; j < count; j += TILE_COLUMNS) {
    const lanes a = lanes_power_of_two(load_lanes(0, line + j) - top);
    const lanes b = lanes_power_of_two(load_lanes(1, line + j) - top);
    store_lanes(a, 0, line + j);
    store_lanes(b, 1, line + j);
    sums += a;
    others += b;
  }
  return lanes_sum(sums + others);
}

#define OUTPUT_LOAD(r)                                                                \
  lanes a##r = (lanes)(0.0f), b##r = (lanes)(0.0f);                                   \
  if (!is_first) {                                                                    \
    a##r = load_lanes(0, held + r * DIM + c) * (lanes)(factor[r]);                    \
    b##r = load_lanes(1, held + r * DIM + c) * (lanes)(factor[r]);                    \
  }
#define OUTPUT_STORE(r)                                                               \
  store_lanes(a##r, 0, held + r * DIM + c);                                           \
  store_lanes(b##r, 1, held + r * DIM + c);
#define OUTPUT_WRITE(r)                                                               \
  if (r < valid) {                                                                    \
    store_lanes(a##r * (lanes)(inverse[r]), 0, target + (size_t)r * width + c);       \
    store_lanes(b##r * (lanes)(inverse[r]), 1, target + (size_t)r * width + c);       \
  }

kernel void encoder_attention_tiles(global const float *q, uint q_offset, uint q_stride, global const float *k,
                                    uint k_offset, uint k_stride, global const float *v, uint v_offset,
                                    uint v_stride, global const int *parts, global float *y,
                                    global float *log_sum_exp, int wants_sums, int causal, uint heads,
                                    uint shared, float scale) {
  const uint head = get_global_id(0), kv_head = head / shared;
  global const int *place = parts + 4 * get_global_id(1);
  const int rows_start = place[0], rows_end = place[1], start = place[2], end = place[3];
  const size_t width = heads * DIM;
  global const float *queries = q + q_offset + head * DIM;
  float keys[SPAN * DIM], values[SPAN * DIM], query[TILE_ROWS * DIM], weights[TILE_ROWS * PITCH];
  float peaks[TILE_ROWS * LANES], sums[LANES], factor[LANES], inverse[LANES], logarithm[LANES];
  // Between spans, LANES numbers a tile: highest scores and sums of weights.
  float output[QUERIES * DIM], highest[QUERIES / TILE_ROWS * LANES], total[QUERIES / TILE_ROWS * LANES];
  for (uint i = 0; i < LANES; ++i) sums[i] = 1.0f;
  const int limit = causal ? rows_end : end;
  for (int first = start; first < limit; first += SPAN) {
    const int span = min(SPAN, limit - first), is_first = first == start;
    global const float *span_keys = k + k_offset + (size_t)first * k_stride + kv_head * DIM;
    global const float *span_values = v + v_offset + (size_t)first * v_stride + kv_head * DIM;
    turn_rows(span_keys, k_stride, span, keys);
    copy_rows(span_values, v_stride, span, 1.0f, values);
    fetch_rows(span_keys + DIM, k_stride, span);
    for (int row = rows_start, tile = 0; row < rows_end; row += TILE_ROWS, ++tile) {
      const int valid = min(TILE_ROWS, rows_end - row), row_limit = causal ? row + valid : end;
      const int count = min(span, row_limit - first), is_last = first + SPAN >= row_limit;
      // Rows that see nothing of this span were written before it.
      if (count <= 0) continue;
      const int seen = causal ? row + 1 - first : count;
      copy_rows(queries + (size_t)row * q_stride, q_stride, valid, scale * LOG2_E, query);
      fetch_rows(queries + DIM + (size_t)row * q_stride, q_stride, valid);
      fetch_rows(span_values + DIM + (size_t)(row - rows_start) * v_stride, v_stride, valid);
      const lanes before = is_first ? (lanes)(-INFINITY) : load_lanes(tile, highest);
      for (uint r = 0; r < TILE_ROWS; ++r) {
        store_lanes(is_first ? before : (lanes)(highest[tile * LANES + r]), r, peaks);
      }
      for (int part = 0; part < count; part += TILE_COLUMNS) {
        const float *right = keys + part * DIM;
        EACH_ROW(TILE_ZERO)
        TILE_MULTIPLY(private, query, DIM, 1, private, right, TILE_COLUMNS, DIM)
        if (part + TILE_COLUMNS > seen) { EACH_ROW(SCORE_HIDE) }
        EACH_ROW(SCORE_STORE)
      }
      for (uint r = 0; r < TILE_ROWS; ++r) {
        const float peak = lanes_max(load_lanes(r, peaks));
        highest[tile * LANES + r] = peak;
        sums[r] = weigh_row(weights + r * PITCH, peak, count);
      }
      const lanes peak = load_lanes(tile, highest), factors = lanes_power_of_two(before - peak);
      const lanes old = is_first ? (lanes)(0.0f) : load_lanes(tile, total);
      const lanes all = fma(old, factors, load_lanes(0, sums));
      store_lanes(factors, 0, factor);
      store_lanes(all, tile, total);
      store_lanes((lanes)(1.0f) / all, 0, inverse);
      if (is_last && wants_sums) {
        store_lanes(fma(peak, (lanes)(LN_2), log(all)), 0, logarithm);
        for (int r = 0; r < valid; ++r) log_sum_exp[(size_t)(row + r) * heads + head] = logarithm[r];
      }
      float *held = output + (row - rows_start) * DIM;
      global float *target = y + (size_t)row * width + head * DIM;
      for (uint c = 0; c < DIM; c += TILE_COLUMNS) {
        const float *right = values + c;
        EACH_ROW(OUTPUT_LOAD)
        TILE_MULTIPLY(private, weights, PITCH, 1, private, right, DIM, count)
        if (is_last) {
          EACH_ROW(OUTPUT_WRITE)
        } else {
          EACH_ROW(OUTPUT_STORE)
        }
      }
    }
  }
}

#define SUM_LOAD(r) lanes a##r = load_lanes(0, sums + r * DIM + c), b##r = load_lanes(1, sums + r * DIM + c);
#define SUM_STORE(r)                           \
  store_lanes(a##r, 0, sums + r * DIM + c);    \
  store_lanes(b##r, 1, sums + r * DIM + c);

// sums of TILE_ROWS rows += Σ over terms; row r's weights are r apart, its terms PITCH.
void add_along_column(const float *weights, const float *x, int terms, float *sums) {
  for (uint c = 0; c < DIM; c += TILE_COLUMNS) {
    const float *right = x + c;
    EACH_ROW(SUM_LOAD)
    TILE_MULTIPLY(private, weights, 1, PITCH, private, right, DIM, terms)
    EACH_ROW(SUM_STORE)
  }
}

#define RESULT_LOAD(r)                                                                \
  lanes a##r = (lanes)(0.0f), b##r = (lanes)(0.0f);                                   \
  if (adds && r < valid) {                                                            \
    a##r = load_lanes(0, target + (size_t)r * width + c);                             \
    b##r = load_lanes(1, target + (size_t)r * width + c);                             \
  }
#define RESULT_STORE(r)                                                               \
  if (r < valid) {                                                                    \
    store_lanes(a##r, 0, target + (size_t)r * width + c);                             \
    store_lanes(b##r, 1, target + (size_t)r * width + c);                             \
  }
#define EXPONENT(r)                                                                   \
  a##r = fma(a##r, (lanes)(scale * LOG2_E), (lanes)(offset[r]));                      \
  b##r = fma(b##r, (lanes)(scale * LOG2_E), (lanes)(offset[r]));
#define WEIGHT_STORE(r)                                                               \
  store_lanes(lanes_power_of_two(a##r), 0, weight + r * PITCH + part);                      \
  store_lanes(lanes_power_of_two(b##r), 1, weight + r * PITCH + part);
#define SLOPE_STORE(r)                                                                                   \
  a##r = load_lanes(0, weight + r * PITCH + part) * (a##r - (lanes)(product[r])) * (lanes)(scale);       \
  b##r = load_lanes(1, weight + r * PITCH + part) * (b##r - (lanes)(product[r])) * (lanes)(scale);       \
  store_lanes(a##r, 0, slope + r * PITCH + part);                                                        \
  store_lanes(b##r, 1, slope + r * PITCH + part);

// A tile of keys may reach this far behind the last.
#define WEIGHT_END(r)                                            \
  store_lanes((lanes)(0.0f), 0, weight + r * PITCH + part);      \
  store_lanes((lanes)(0.0f), 0, slope + r * PITCH + part);

// Weights p = exp(scale · q·k − lse) and slopes scale · p · (g·v − product) of TILE_ROWS rows for `count` keys.
void weigh_tile(const float *query, const float *upstream, const float *keys, const float *values,
                const float *offset, const float *product, float scale, int seen, int causal, int count,
                float *weight, float *slope) {
  for (int part = 0; part < count; part += TILE_COLUMNS) {
    {
      const float *right = keys + part * DIM;
      EACH_ROW(TILE_ZERO)
      TILE_MULTIPLY(private, query, DIM, 1, private, right, TILE_COLUMNS, DIM)
      EACH_ROW(EXPONENT)
      if (causal && part + TILE_COLUMNS > seen) { EACH_ROW(SCORE_HIDE) }
      EACH_ROW(WEIGHT_STORE)
    }
    const float *right = values + part * DIM;
    EACH_ROW(TILE_ZERO)
    TILE_MULTIPLY(private, upstream, DIM, 1, private, right, TILE_COLUMNS, DIM)
    EACH_ROW(SLOPE_STORE)
  }
  const int part = (count + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
  EACH_ROW(WEIGHT_END)
}

kernel void encoder_attention_tiles_gradient(
    global const float *q, uint q_offset, uint q_stride, global const float *k, uint k_offset, uint k_stride,
    global const float *v, uint v_offset, uint v_stride, global const float *gradient,
    uint gradient_offset, uint gradient_stride, global const float *output, uint output_offset,
    uint output_stride, global const float *sums, uint sums_offset, uint sums_stride,
    global const int *sequences, global float *result, uint heads, uint shared, int causal, float scale) {
  const uint kv_head = get_global_id(0), kv_heads = heads / shared;
  global const int *sequence = sequences + 2 * get_global_id(1);
  const int start = sequence[0], end = sequence[1];
  const size_t width = (size_t)(heads + 2 * kv_heads) * DIM;
  float turned_keys[SPAN * DIM], turned_values[SPAN * DIM], keys[SPAN * DIM];
  // The last tile of keys may reach behind the span: what it has there is not stored.
  float key_sums[(SPAN + TILE_ROWS) * DIM], value_sums[(SPAN + TILE_ROWS) * DIM];
  float weights[QUERIES_BACK * PITCH], slopes[QUERIES_BACK * PITCH];
  float query[QUERIES_BACK * DIM], upstream[QUERIES_BACK * DIM], offsets[QUERIES_BACK], products[QUERIES_BACK];
  for (int first = start; first < end; first += SPAN) {
    const int span = min(SPAN, end - first);
    global const float *span_keys = k + k_offset + (size_t)first * k_stride + kv_head * DIM;
    global const float *span_values = v + v_offset + (size_t)first * v_stride + kv_head * DIM;
    turn_rows(span_keys, k_stride, span, turned_keys);
    turn_rows(span_values, v_stride, span, turned_values);
    copy_rows(span_keys, k_stride, span, 1.0f, keys);
    fetch_rows(span_keys + DIM, k_stride, span);
    fetch_rows(span_values + DIM, v_stride, span);
    global float *target = result + (size_t)first * width + (heads + kv_head) * DIM;
    fetch_rows(target, width, span);
    fetch_rows(target + kv_heads * DIM, width, span);
    for (uint i = 0; i < (uint)(span + TILE_ROWS) * DIM; ++i) key_sums[i] = value_sums[i] = 0.0f;
    for (uint head = kv_head * shared; head < (kv_head + 1) * shared; ++head) {
      // Where causal, rows before the span do not see it.
      for (int row = causal ? first : start; row < end; row += QUERIES_BACK) {
        const int rows = min(QUERIES_BACK, end - row), count = causal ? min(span, row + rows - first) : span;
        global const float *row_queries = q + q_offset + (size_t)row * q_stride + head * DIM;
        global const float *gradients = gradient + gradient_offset + (size_t)row * gradient_stride + head * DIM;
        global const float *outputs = output + output_offset + (size_t)row * output_stride + head * DIM;
        copy_rows(row_queries, q_stride, rows, 1.0f, query);
        copy_rows(gradients, gradient_stride, rows, 1.0f, upstream);
        fetch_rows(result + (size_t)row * width + head * DIM, width, rows);
        fetch_rows(row_queries + DIM, q_stride, rows);
        fetch_rows(gradients + DIM, gradient_stride, rows);
        fetch_rows(outputs + DIM, output_stride, rows);
        for (int r = 0; r < rows; ++r) {
          lanes dot = (lanes)(0.0f);
          for (uint d = 0; d < DIM; d += LANES) {
            const lanes out = load_lanes(0, outputs + (size_t)r * output_stride + d);
            dot = fma(load_lanes(0, upstream + r * DIM + d), out, dot);
          }
          products[r] = lanes_sum(dot);
          offsets[r] = sums[sums_offset + (size_t)(row + r) * sums_stride + head] * -LOG2_E;
        }
        const int adds = first > start;
        for (int tile = 0; tile < rows; tile += TILE_ROWS) {
          const int valid = min(TILE_ROWS, rows - tile);
          const float *slope = slopes + tile * PITCH;
          weigh_tile(query + tile * DIM, upstream + tile * DIM, turned_keys, turned_values, offsets + tile,
                     products + tile, scale, row + tile + 1 - first, causal, count, weights + tile * PITCH,
                     slopes + tile * PITCH);
          global float *target = result + (size_t)(row + tile) * width + head * DIM;
          for (uint c = 0; c < DIM; c += TILE_COLUMNS) {
            const float *right = keys + c;
            EACH_ROW(RESULT_LOAD)
            TILE_MULTIPLY(private, slope, PITCH, 1, private, right, DIM, count)
            EACH_ROW(RESULT_STORE)
          }
        }
        for (int key = 0; key < count; key += TILE_ROWS) {
          add_along_column(slopes + key, query, rows, key_sums + key * DIM);
          add_along_column(weights + key, upstream, rows, value_sums + key * DIM);
        }
      }
    }
    for (int r = 0; r < span; ++r, target += width) {
      for (uint d = 0; d < DIM; d += LANES) {
        store_lanes(load_lanes(0, key_sums + r * DIM + d), 0, target + d);
        store_lanes(load_lanes(0, value_sums + r * DIM + d), 0, target + kv_heads * DIM + d);
      }
    }
  }
}
