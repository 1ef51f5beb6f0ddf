// CPU micro-kernels of Retort. Every function works on the part of an operation that one task owns; the Swift
// side splits operations into tasks and runs them on the thread pool. All kernels choose at run time:
// AVX-512 code where the processor has it, else AVX2 with FMA and F16C, else portable C.
#pragma once
#include <stddef.h>
#include <stdint.h>

// MARK: Processor

// Whether AVX-512 with VNNI is used; never in a build with -DRK_PORTABLE.
int rk_has_avx512_vnni(void);
int rk_has_avx512_bf16(void);
int rk_has_avx2(void); // with fused multiply-adds and conversions of halfs
// Makes OpenMP regions that this thread opens (oneDNN's) run on this thread alone.
void rk_openmp_single_thread(void);

// MARK: Thread pool

typedef struct rk_pool rk_pool;
typedef void (*rk_task)(void *context, int task, int thread);
// Workers spin for a few microseconds after a job and then park.
rk_pool *rk_pool_create(int threads);
void rk_pool_destroy(rk_pool *pool);
int rk_pool_threads(const rk_pool *pool);
// Runs tasks 0..<count, the caller's thread included; returns when all are done.
void rk_pool_run(rk_pool *pool, int count, rk_task task, void *context);

// MARK: Quantised (lean) matrices

// Source block layouts, as in GGUF.
typedef enum {
  RK_Q4_0, RK_Q4_1, RK_Q5_0, RK_Q5_1, RK_Q8_0, RK_Q4_K, RK_Q5_K, RK_Q6_K, RK_F32, RK_F16, RK_BF16
} rk_type;

// Bytes of one packed panel (16 output rows) of width k.
size_t rk_lean_panel_bytes(rk_type type, int k);
// Packs `rows` (1...16) source rows of k elements, `row_bytes` apart, into one panel; missing rows are zero.
void rk_lean_pack(rk_type type, const uint8_t *source, size_t row_bytes, int rows, int k, uint8_t *panel);

// 32 activations of a row: int8 codes, their scale and scaled sums.
typedef struct {
  int8_t q[32];
  float scale, sum, sum_low, sum_high;
} rk_act_block;
// Rows are quantised in tiles of 16, then 8, 4, 2 and 1 as the number of rows allows; a tile of M rows holds its
// blocks as [k / 32][M], so that the product reads them in one stream. Quantises row `row` of `rows` into `acts`,
// which has room for rows · k / 32 blocks. Where `rest` is not null, it takes what the rounding left, in the same
// order: both together hold about 15 bits.
void rk_act_quantize(const float *x, int k, int row, int rows, rk_act_block *acts, rk_act_block *rest);
// y[r][16 p + i] for panels [panel_begin, panel_end) and all rows; `n` is the true output width of this matrix.
// `rest` and `bias` may be null.
void rk_lean_gemm(rk_type type, const uint8_t *panels, int panel_begin, int panel_end, int n, int k,
                  const rk_act_block *acts, const rk_act_block *rest, int rows, const float *bias, float *y,
                  size_t y_stride);

// MARK: int8 matrices

// Inputs that share a scale, in weights and in activations.
#define RK_INT8_GROUP 64
// Bytes of one packed panel (16 output rows) of width k.
size_t rk_int8_panel_bytes(int k);
// Quantises `rows` (1...16) rows of k floats, `row_stride` floats apart, into one panel aligned to 64 bytes.
void rk_int8_pack(const float *source, size_t row_stride, int rows, int k, uint8_t *panel);
// Bytes of a row of quantised activations.
size_t rk_int8_row_bytes(int k);
// Quantises row `row` of `rows` into `acts`, which has room for rows · rk_int8_row_bytes(k) bytes and is aligned
// to 4. Where `rest` is not null, it takes what the rounding left: both together hold about 15 bits.
void rk_int8_quantize(const float *x, int k, int row, int rows, uint8_t *acts, uint8_t *rest);
// As rk_lean_gemm.
void rk_int8_gemm(const uint8_t *panels, int panel_begin, int panel_end, int n, int k, const uint8_t *acts,
                  const uint8_t *rest, int rows, const float *bias, float *y, size_t y_stride);

// MARK: Dense matrices

// Bytes of one packed panel (16 output rows) of width k: Float32, or where `narrow` bfloat16, which needs an even k.
size_t rk_dense_panel_bytes(int k, int narrow);
// Packs `rows` (1...16) rows of k floats, `row_stride` floats apart, into one panel.
void rk_dense_pack(const float *source, size_t row_stride, int rows, int k, int narrow, void *panel);
// y[r][16 p + i] for panels [panel_begin, panel_end) and all rows, in Float32; `n` is the true output width, `bias`
// may be null. Strides are in floats.
typedef struct {
  const uint8_t *panels;
  int narrow, n, k, rows;
  const float *x, *bias;
  size_t x_stride, y_stride;
  float *y;
} rk_dense_product;
void rk_dense_gemm(const rk_dense_product *product, int panel_begin, int panel_end);

// MARK: Products of training

// c[m, n] = op(a) op(b) (+ bias) (+ c), row-major Float32, strides in floats. op(a) is [m, k]: where a_transposed
// is set, a lies as [k, m]. op(b) is [k, n], or lies as [n, k].
typedef struct {
  int m, n, k; // m and n at least 1
  const float *a, *b, *bias; // bias: [n], may be null
  size_t a_stride, b_stride, c_stride;
  float *c;
  int a_transposed, b_transposed;
  int accumulate; // add to what c holds
  int narrow;     // round operands to bfloat16 where the processor multiplies it
  // What rk_product_plan fills in.
  int pack_tasks, tasks;           // tasks of each of the two phases
  size_t shared_bytes, own_bytes; // scratch, aligned to 64: one for all threads, and one a thread
  int threads, depth, blocks, own_blocks, own_lines, part_lines, parts, pack_lines, pack_groups, owns_b;
} rk_product;
void rk_product_plan(rk_product *product, int threads);
// First phase: task 0..<pack_tasks in any order, any thread.
void rk_product_pack(const rk_product *product, int task, void *shared);
// Second phase, when the first is done: task 0..<tasks in any order; `own` is the thread's.
void rk_product_run(const rk_product *product, int task, const void *shared, void *own);

// MARK: Conversions

// Dequantises `count` elements (a whole number of blocks) to f32.
void rk_dequantize(rk_type type, const uint8_t *source, float *out, size_t count);
void rk_f32_to_bf16(const float *x, uint16_t *y, size_t count);

// MARK: Row operations

void rk_rms_norm(const float *x, const float *w, float *y, int n, float eps);
void rk_layer_norm(const float *x, const float *w, const float *b, float *y, int n, float eps);
void rk_silu_mul(const float *gate, const float *up, float *y, int n);
void rk_gelu_erf(const float *x, float *y, int n);
void rk_gelu_tanh(const float *x, float *y, int n);
void rk_tanh(const float *x, float *y, int n);
// GELU in place, off by 2e-4 at most: for results that are rounded to 8 bits next.
void rk_gelu_quick(float *x, int n);
// y = the layer norm of a + b; y overlaps none of the others.
void rk_add_layer_norm(const float *a, const float *b, const float *w, const float *bias, float *y, int n,
                       float eps);
// y = x / max(|x|, epsilon).
void rk_l2_normalize(const float *x, float *y, int n, float epsilon);
// y = the mean of `count` rows, `stride` floats apart, summed in their order.
void rk_mean_rows(const float *x, size_t stride, int count, float *y, int n);
void rk_add(const float *a, const float *b, float *y, int n);
void rk_softmax(const float *x, float *y, int n);
// cos and sin: [rotary / 2] for this row's position.
void rk_rope(const float *x, float *y, int heads, int head_dim, int rotary, const float *cosines,
             const float *sines, int neighbours);
// Largest x, and log of the sum of exp(x * scale).
float rk_max(const float *x, int n);
double rk_sum_exp(const float *x, int n, float max, float scale);
// y[i] = x[i] where bit i % 32 of words[i / 32] is set, else negative infinity.
void rk_mask(const float *x, const uint32_t *words, float *y, int n);
// Collects indices with x >= threshold into out (at most capacity); returns how many there are in all.
int rk_collect_above(const float *x, int n, float threshold, int32_t *out, int capacity);

// MARK: Gradients of row operations

// `g` is the gradient of a row of the result; `..._sum` are added to.
void rk_rms_norm_gradient(const float *g, const float *x, const float *w, float *dx, float *weight_sum, int n,
                          float eps);
void rk_layer_norm_gradient(const float *g, const float *x, const float *w, float *dx, float *weight_sum,
                            float *bias_sum, int n, float eps);
void rk_gelu_erf_gradient(const float *g, const float *x, float *dx, int n);
void rk_gelu_tanh_gradient(const float *g, const float *x, float *dx, int n);
void rk_silu_mul_gradient(const float *g, const float *gate, const float *up, float *gate_out, float *up_out,
                          int n);
// From the result y.
void rk_tanh_gradient(const float *g, const float *y, float *dx, int n);
void rk_softmax_gradient(const float *g, const float *y, float *dx, int n);
void rk_l2_normalize_gradient(const float *g, const float *x, float *dx, int n, float epsilon);

// MARK: Training

float rk_dot(const float *a, const float *b, int n);
// sum += factor · x.
void rk_add_scaled(const float *x, float factor, float *sum, int n);
void rk_scale(const float *x, float factor, float *y, int n);
// In Float32 within runs of 4,096 elements, in double over these.
double rk_sum_of_squares(const float *x, size_t n);
// Which elements first..<first + n (`first` a multiple of 128) a dropout keeps, and scales: element i draws half i % 8
// (low half first) of the four Philox words of counter (i / 8, stream), and stays where that is at least `threshold`; at 0 nothing is drawn.
typedef struct {
  uint64_t key, stream, first;
  uint32_t threshold;
  float scale;
} rk_dropout_draws;
void rk_dropout(const float *x, float *y, int n, const rk_dropout_draws *draws);
// sum = residual + dropout(x), and y its layer norm.
void rk_dropout_add_norm(const float *x, const float *residual, const float *w, const float *b, float *sum, float *y,
                         int n, float eps, const rk_dropout_draws *draws);
// The gradients of the residual (`dsum`) and of x (`dx`) from that of y; adds those of weight and bias, and dx to
// `x_sum`.
void rk_dropout_add_norm_gradient(const float *g, const float *sum, const float *w, float *dsum, float *dx,
                                  float *weight_sum, float *bias_sum, float *x_sum, int n, float eps,
                                  const rk_dropout_draws *draws);
// weight · T² · Σ t (ln t − ln softmax(z / T)) of a row, and its gradient.
float rk_softmax_divergence(const float *z, const float *target, float weight, float temperature, float *gradient,
                            int n);
// Σ weight · (−t ln σ(z) − (1 − t) ln(1 − σ(z))) of a row, and its gradient.
float rk_sigmoid_cross_entropy(const float *z, const float *target, const float *weight, float *gradient, int n);
typedef struct {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float first_correction, second_correction; // 1 − β^t
  float gradient_scale;                      // what clipping multiplies gradients by
  int clear;                                 // whether the gradient is set to 0
} rk_adamw_step;
// One step on n elements in place; where the numbers start does not change what becomes of one.
void rk_adamw(float *p, float *g, float *m, float *v, size_t n, rk_adamw_step step);

// MARK: Attention over a paged cache

typedef enum { RK_KV_F32, RK_KV_F16, RK_KV_BF16, RK_KV_INT8 } rk_kv_type;

// In int8, numbers of a key that share a scale; a value has one scale.
#define RK_KV_GROUP 32

// A cache block of one layer and one key head: keys transposed in groups of 16 tokens [group][head_dim][16], then
// values [token][head_dim]. In bf16, whose head_dim must be even, pairs share a word: keys
// [group][head_dim / 2][16][2], values [token / 2][head_dim][2]. In int8, whose head_dim must be a multiple of 4,
// the scales come first, in Float32: of keys [ceil(head_dim / RK_KV_GROUP)][token], of values [token]; then codes,
// four to a word: keys [group][head_dim / 4][16][4] with 128 added, values [token / 4][head_dim][4]. Keys lie
// rotated (see attention_int8.c), so scores are taken with queries rotated alike.
typedef struct {
  const uint8_t *cache;       // this layer's first block
  size_t block_stride;        // bytes between blocks of this layer
  int block_size, kv_heads, head_dim, heads;
  rk_kv_type type;
  float scale;
} rk_kv_view;

// Bytes of a token's keys and values of one key head.
size_t rk_kv_token_bytes(rk_kv_type type, int head_dim);
void rk_kv_store(const rk_kv_view *view, const int32_t *table, int position, const float *key,
                 const float *value);
typedef struct {
  const int32_t *table; // its sequence's blocks
  int limit;            // tokens that it may read
  int row;              // its place in `query` and `out`
} rk_attention_row;
// All query heads of one key head for `count` rows. Rows of the same sequence stand together; where there are
// several sequences, their first `shared` tokens (a multiple of 64, within every row's limit) lie in the same
// blocks. scratch: at least rk_attention_scratch(head_dim) floats.
size_t rk_attention_scratch(int head_dim);
void rk_attention(const rk_kv_view *view, const rk_attention_row *rows, int count, int shared, int kv_head,
                  const float *query, size_t q_stride, float *out, size_t out_stride, float *scratch);

// MARK: Attention within a packed sequence

// One head of one sequence: `length` rows, strides in floats. A row reads all rows, or where `causal` is 1
// those up to itself.
typedef struct {
  const float *query, *key, *value;
  size_t query_stride, key_stride, value_stride;
  float *out;
  size_t out_stride;
  float *log_sum_exp; // one a row; may be null
  size_t log_sum_exp_stride;
  int length, head_dim, causal;
  float scale;
} rk_encoder_head;
// Bytes of scratch (aligned to 64) for heads up to this size.
size_t rk_encoder_attention_scratch(int length, int head_dim);
// `narrow` rounds the operands of products to bfloat16 where the processor multiplies it.
void rk_encoder_attention(const rk_encoder_head *head, int narrow, void *scratch);
// The gradient of encoder attention for one key head of one sequence and the query heads that share it: pointers
// are to the sequence's first row at the first of those heads, strides are elements from one row to the next.
typedef struct {
  const float *query, *key, *value, *output;
  size_t query_stride, key_stride, value_stride, output_stride;
  const float *gradient; // of the output
  size_t gradient_stride;
  const float *log_sum_exp; // a row's heads side by side
  size_t log_sum_exp_stride;
  float *query_gradient, *key_gradient, *value_gradient;
  size_t result_stride; // of all three
  int heads, length, head_dim, causal;
  float scale;
} rk_encoder_gradient;
// The gradient of one head of one sequence whose only query is one row: `query`, `gradient` and `query_gradient` are
// that row's. Float32 throughout; `scratch` has room for 2 · length floats.
void rk_first_row_gradient(const rk_encoder_gradient *work, float *scratch);
// Asks for rows in the order of memory. A head's part of a row is a few cache lines and the next row's lies kilobytes
// on, which memory serves slowly: so the first task of a sequence brings all its heads' numbers near.
void rk_touch_rows(const float *x, size_t stride, int rows, int width);
// Bytes of scratch (aligned to 64) for sequences and heads up to this size.
size_t rk_encoder_attention_gradient_scratch(int length, int head_dim);
// `narrow` as above.
void rk_encoder_attention_gradient(const rk_encoder_gradient *work, int narrow, void *scratch);

// One query row, in Float32, against the sequence's `length` keys and values; `scores` has room for them.
void rk_first_row_attention(const rk_encoder_head *head, float *scores);
