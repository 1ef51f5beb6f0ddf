// C = op(A) op(B): the products of training, in Float32 or with operands rounded to bfloat16.
//
// After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008). The operand with fewer
// lines is packed first, once, for all threads; each task then packs its own lines of the other one, which stay in
// its second-level cache, and multiplies. A tile holds 8 rows and 48 columns of C in registers: 24 sums, 3 vectors of
// columns and one number of a row. All rows pass a panel of columns over one block of k, then over the next, so that
// the panel's part of C stays near. While tiles run, the source of what is packed next is fetched.
//
// An element of C is its start (bias, or what C held) plus its products in the order of k, one after another
// (in bfloat16: pair after pair). Blocks continue where the last one stopped, so neither the plan nor the number
// of threads nor the extents change a bit of it.
#include "training_pack.h"

enum {
  TILE_ROWS = 8,
  TILE_UNITS = 3,
  PANEL = TILE_UNITS * TRAIN_UNIT,
  // Lines of a task's own operand at most, and bytes of them that are packed at once.
  OWN_LINES = 192,
  OWN_BYTES = 400 * 1024,
  // Below this a second thread takes longer to come than the product.
  SMALL_FLOPS = 1 << 21,
};

// Up to 8 rows against up to 48 columns, over one block.
typedef struct {
  const uint32_t *a; // at the first row: [depth][16]
  const uint32_t *b; // units of columns: [units][depth][16]
  int depth, rows;
  uint32_t mask; // columns of the last unit
  const float *start;
  size_t start_stride; // 0 where all rows start alike
  float *c;
  size_t c_stride;
} train_tile;

#if RK_X86
#define RK_FN(name) plain_##name
#define RK_TARGET RK_AVX512
#define RK_NARROW 0
#include "training_gemm.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_NARROW

#define RK_FN(name) narrow_##name
#define RK_TARGET RK_AVX512_BF16
#define RK_NARROW 1
#include "training_gemm.h"
#undef RK_FN
#undef RK_TARGET
#undef RK_NARROW
#endif

#if RK_X86
// Four rows against 16 columns: eight sums, the fewest that keep AVX2's two multiply-add units busy.
RK_AVX2 static void avx2_rows(const train_tile *t, int first, int v, uint32_t mask) {
  const float *a = (const float *)(const void *)t->a + first;
  const float *b = (const float *)(const void *)(t->b + (size_t)v * t->depth * TRAIN_UNIT);
  __m256 sums[4][2];
  float edge[TRAIN_UNIT] = {0};
  RK_UNROLL
  for (int m = 0; m < 4; m++) {
    // Rows beyond the last are computed from what their places hold, and not written.
    const float *start = t->start + (size_t)(first + m < t->rows ? first + m : first) * t->start_stride + TRAIN_UNIT * v;
    if (mask != 0xffff) {
      for (int i = 0; i < TRAIN_UNIT; i++) edge[i] = mask >> i & 1 ? start[i] : 0;
      start = edge;
    }
    sums[m][0] = _mm256_loadu_ps(start);
    sums[m][1] = _mm256_loadu_ps(start + 8);
  }
  for (int d = 0; d < t->depth; d++, a += TRAIN_UNIT, b += TRAIN_UNIT) {
    __m256 low = _mm256_loadu_ps(b), high = _mm256_loadu_ps(b + 8);
    RK_UNROLL
    for (int m = 0; m < 4; m++) {
      __m256 row = _mm256_broadcast_ss(a + m);
      sums[m][0] = _mm256_fmadd_ps(row, low, sums[m][0]);
      sums[m][1] = _mm256_fmadd_ps(row, high, sums[m][1]);
    }
  }
  RK_UNROLL
  for (int m = 0; m < 4; m++) {
    if (first + m >= t->rows) continue;
    float *c = t->c + (size_t)(first + m) * t->c_stride + TRAIN_UNIT * v;
    float *target = mask == 0xffff ? c : edge;
    _mm256_storeu_ps(target, sums[m][0]);
    _mm256_storeu_ps(target + 8, sums[m][1]);
    if (mask != 0xffff)
      for (int i = 0; i < TRAIN_UNIT; i++)
        if (mask >> i & 1) c[i] = edge[i];
  }
}

static void avx2_tile(int units, const train_tile *t) {
  for (int v = 0; v < units; v++)
    for (int first = 0; first < t->rows; first += 4) avx2_rows(t, first, v, v == units - 1 ? t->mask : 0xffff);
}
#endif

static void portable_tile(int units, const train_tile *t) {
  for (int v = 0; v < units; v++) {
    const float *b = (const float *)(const void *)(t->b + (size_t)v * t->depth * TRAIN_UNIT);
    for (int m = 0; m < t->rows; m++) {
      const float *a = (const float *)(const void *)t->a + m;
      const float *start = t->start + (size_t)m * t->start_stride + TRAIN_UNIT * v;
      float *c = t->c + (size_t)m * t->c_stride + TRAIN_UNIT * v, sums[TRAIN_UNIT];
      uint32_t mask = v == units - 1 ? t->mask : 0xffff;
      for (int i = 0; i < TRAIN_UNIT; i++) sums[i] = mask >> i & 1 ? start[i] : 0;
      for (int d = 0; d < t->depth; d++)
        for (int i = 0; i < TRAIN_UNIT; i++) sums[i] += a[TRAIN_UNIT * d] * b[TRAIN_UNIT * d + i];
      for (int i = 0; i < TRAIN_UNIT; i++)
        if (mask >> i & 1) c[i] = sums[i];
    }
  }
}

static void run_tile(int narrow, int units, const train_tile *t) {
#if RK_X86
  static void (*const tiles[2][3])(const train_tile *) = {
      {plain_tile_1, plain_tile_2, plain_tile_3}, {narrow_tile_1, narrow_tile_2, narrow_tile_3}};
  if (rk_has_avx512_vnni()) {
    tiles[narrow][units - 1](t);
    return;
  }
  if (rk_has_avx2()) {
    avx2_tile(units, t);
    return;
  }
#endif
  (void)narrow;
  portable_tile(units, t);
}

// MARK: Plan

static int ceil_div(int a, int b) { return a / b + (a % b != 0); }
static int smaller(int a, int b) { return a < b ? a : b; }

static int round_up(int a, int step) { return ceil_div(a, step) * step; }

// Lines of a task: the number that lets threads end together, larger ones where several do.
static int own_lines(int lines, int step, int threads) {
  int best = step, least = 0;
  for (int size = step; size <= OWN_LINES; size += step) {
    int rounds = ceil_div(ceil_div(lines, size), threads);
    // A task more costs about what two lines do.
    int cost = rounds > INT32_MAX / (size + 2) ? INT32_MAX : rounds * (size + 2);
    if (size > step && cost > least) continue;
    best = size;
    least = cost;
  }
  return best;
}

void rk_product_plan(rk_product *p, int threads) {
  p->narrow = p->narrow && rk_has_avx512_bf16();
  if (2.0 * p->m * p->n * p->k < SMALL_FLOPS) threads = 1;
  p->threads = threads;
  int words = train_words(p->k, p->narrow);
  p->blocks = words ? ceil_div(words, TRAIN_BLOCK) : 1;
  p->depth = ceil_div(words, p->blocks);
  p->owns_b = p->n > p->m;
  int own = p->owns_b ? p->n : p->m, shared = p->owns_b ? p->m : p->n;
  p->own_lines = own_lines(own, p->owns_b ? PANEL : TRAIN_UNIT, threads);
  int owners = ceil_div(own, p->own_lines);
  // Where there are fewer tasks than threads, each is cut along the other operand.
  int step = p->owns_b ? TRAIN_UNIT : PANEL;
  p->part_lines = round_up(ceil_div(shared, ceil_div(threads, owners)), step);
  p->parts = ceil_div(shared, p->part_lines);
  p->tasks = owners * p->parts;
  size_t block_bytes = (size_t)p->own_lines * (size_t)p->depth * 4;
  size_t fit = block_bytes ? OWN_BYTES / block_bytes : 1;
  p->own_blocks = fit < 1 ? 1 : fit > (size_t)p->blocks ? p->blocks : (int)fit;
  p->own_bytes = block_bytes * (size_t)p->own_blocks;
  p->shared_bytes = (size_t)train_units(shared) * TRAIN_UNIT * 4 * (size_t)p->depth * (size_t)p->blocks;
  int groups = threads == 1 ? 1 : ceil_div(4 * threads, p->blocks);
  p->pack_lines = round_up(ceil_div(shared, groups), TRAIN_UNIT);
  p->pack_groups = ceil_div(shared, p->pack_lines);
  p->pack_tasks = p->pack_groups * p->blocks;
}

// MARK: Tasks

static int block_depth(const rk_product *p, int block) {
  int left = train_words(p->k, p->narrow) - block * p->depth;
  return left < p->depth ? left : p->depth;
}

// Lines [first, first + count) of op(A)'s rows or op(B)'s columns.
static train_operand lines_of(const rk_product *p, int of_b, int first, int count) {
  train_operand x = {.lines = count, .k = p->k, .narrow = p->narrow};
  x.by_columns = of_b ? !p->b_transposed : p->a_transposed;
  x.stride = of_b ? p->b_stride : p->a_stride;
  x.source = (of_b ? p->b : p->a) + (size_t)first * (x.by_columns ? 1 : x.stride);
  return x;
}

void rk_product_pack(const rk_product *p, int task, void *shared) {
  int lines = p->owns_b ? p->m : p->n, first = task % p->pack_groups * p->pack_lines, block = task / p->pack_groups;
  int depth = block_depth(p, block);
  train_operand x = lines_of(p, !p->owns_b, first, smaller(lines - first, p->pack_lines));
  size_t words = (size_t)train_units(lines) * TRAIN_UNIT * (size_t)p->depth;
  rk_train_pack(&x, block * p->depth, depth,
                (uint32_t *)shared + (size_t)block * words + (size_t)first * (size_t)depth);
}

static const float zeros[PANEL] = {0};

// A pack of lines over blocks [from, ...): block j at words + j · block.
typedef struct {
  const uint32_t *words;
  size_t block;
} train_pack;

// The lines at `unit` of the pack's block j, which is `depth` deep.
static const uint32_t *lines_at(const train_pack *x, int j, int unit, int depth) {
  return x->words + (size_t)j * x->block + (size_t)unit * TRAIN_UNIT * (size_t)depth;
}

// Source that will be packed next, as cache lines to ask for while tiles run.
typedef struct {
  const char *row;
  size_t stride, row_bytes, at; // bytes
  int rows;
  int each; // lines for each tile
} train_fetch;

static inline void fetch_some(train_fetch *x) {
  for (int i = 0; i < x->each && x->rows > 0; i++) {
    __builtin_prefetch(x->row + x->at, 0, 2);
    x->at += 64;
    if (x->at >= x->row_bytes) {
      x->at = 0;
      x->row += x->stride;
      x->rows--;
    }
  }
}

// A part of C, and where its operands' packs begin.
typedef struct {
  train_pack rows, columns;
  int row_unit, column_unit; // of the packs, at the part's first row and column
  int first_row, row_count, first_column, column_count;
  int from, to; // blocks
  train_fetch next;
} train_part;

static void run_panel(const rk_product *p, train_part *x, int column) {
  int width = smaller(x->column_count - column, PANEL), tail = width % TRAIN_UNIT;
  train_tile t = {.mask = tail ? (1u << tail) - 1 : 0xffff, .c_stride = p->c_stride};
  for (int block = x->from; block < x->to; block++) {
    t.depth = block_depth(p, block);
    t.b = lines_at(&x->columns, block - x->from, x->column_unit + column / TRAIN_UNIT, t.depth);
    int continues = block > 0 || p->accumulate;
    t.start_stride = continues ? p->c_stride : 0;
    for (int r = 0; r < x->row_count; r += TILE_ROWS) {
      t.rows = smaller(x->row_count - r, TILE_ROWS);
      t.a = lines_at(&x->rows, block - x->from, x->row_unit + r / TRAIN_UNIT, t.depth) + r % TRAIN_UNIT;
      t.c = p->c + (size_t)(x->first_row + r) * p->c_stride + x->first_column + column;
      t.start = continues ? t.c : p->bias ? p->bias + x->first_column + column : zeros;
      fetch_some(&x->next);
      run_tile(p->narrow, train_units(width), &t);
    }
  }
}

static void add_bias(const rk_product *p, const train_part *x) {
  for (int r = 0; r < x->row_count; r++) {
    float *c = p->c + (size_t)(x->first_row + r) * p->c_stride + x->first_column;
    rk_add(c, p->bias + x->first_column, c, x->column_count);
  }
}

// Packs the blocks [from, to) of a task's own lines, 16 lines after 16 lines so that rows are read as they lie.
static void pack_own(const rk_product *p, int first, int count, int from, int to, uint32_t *own) {
  size_t block_words = (size_t)p->own_lines * (size_t)p->depth;
  train_operand x = lines_of(p, p->owns_b, first, count);
  int step = x.by_columns ? count : TRAIN_UNIT;
  for (int line = 0; line < count; line += step) {
    train_operand some = lines_of(p, p->owns_b, first + line, smaller(count - line, step));
    for (int block = from; block < to; block++) {
      int depth = block_depth(p, block);
      rk_train_pack(&some, block * p->depth, depth,
                    own + (size_t)(block - from) * block_words + (size_t)line * (size_t)depth);
    }
  }
}

// What this thread probably packs after blocks [.., to) of `task`: the task's next blocks, or the first of the
// task that comes round to it.
static train_fetch next_source(const rk_product *p, int task, const train_part *x) {
  int to = x->to;
  if (to >= p->blocks) {
    to = 0;
    task += p->threads;
    if (task >= p->tasks) return (train_fetch){0};
  }
  int first = task / p->parts * p->own_lines, count = smaller((p->owns_b ? p->n : p->m) - first, p->own_lines);
  train_operand own = lines_of(p, p->owns_b, first, count);
  int width = p->narrow ? 2 : 1, k = to * p->depth * width;
  int depth = smaller(p->k - k, p->own_blocks * p->depth * width);
  train_fetch f = {.stride = own.stride * 4, .rows = own.by_columns ? depth : count};
  f.row = (const char *)(own.source + (own.by_columns ? own.stride : 1) * (size_t)k);
  f.row_bytes = 4 * (size_t)(own.by_columns ? count : depth);
  size_t lines = (f.row_bytes + 63) / 64 * (size_t)f.rows;
  size_t tiles = (size_t)ceil_div(x->column_count, PANEL) * (size_t)ceil_div(x->row_count, TILE_ROWS) *
                 (size_t)(x->to - x->from);
  f.each = (int)((lines + tiles - 1) / tiles);
  return f;
}

void rk_product_run(const rk_product *p, int task, const void *shared, void *own) {
  int first = task / p->parts * p->own_lines, other = task % p->parts * p->part_lines;
  int count = smaller((p->owns_b ? p->n : p->m) - first, p->own_lines);
  int others = p->owns_b ? p->m : p->n;
  size_t shared_block = (size_t)train_units(others) * TRAIN_UNIT * (size_t)p->depth;
  others = smaller(others - other, p->part_lines);
  train_pack mine = {.words = own, .block = (size_t)p->own_lines * (size_t)p->depth};
  for (int from = 0; from < p->blocks; from += p->own_blocks) {
    train_pack theirs = {.words = (const uint32_t *)shared + (size_t)from * shared_block, .block = shared_block};
    train_part x = {.from = from, .to = smaller(p->blocks, from + p->own_blocks)};
    x.rows = p->owns_b ? theirs : mine;
    x.columns = p->owns_b ? mine : theirs;
    x.row_unit = p->owns_b ? other / TRAIN_UNIT : 0;
    x.column_unit = p->owns_b ? 0 : other / TRAIN_UNIT;
    x.first_row = p->owns_b ? other : first;
    x.row_count = p->owns_b ? others : count;
    x.first_column = p->owns_b ? first : other;
    x.column_count = p->owns_b ? count : others;
    if (from == 0 && p->bias && p->accumulate) add_bias(p, &x);
    pack_own(p, first, count, from, x.to, own);
    x.next = next_source(p, task, &x);
    for (int column = 0; column < x.column_count; column += PANEL) run_panel(p, &x, column);
  }
}
