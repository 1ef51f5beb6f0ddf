// A product on a pool, as the CPU backend runs it, for training_product.py.
#include "ckernels.h"

typedef struct {
  const rk_product *product;
  void *shared;
  char *own;
} run;

static void pack(void *context, int task, int thread) {
  (void)thread;
  const run *x = context;
  rk_product_pack(x->product, task, x->shared);
}

static void multiply(void *context, int task, int thread) {
  const run *x = context;
  rk_product_run(x->product, task, x->shared, x->own + (size_t)thread * ((x->product->own_bytes + 63) / 64 * 64));
}

// Bytes of scratch, after planning.
size_t bench_plan(rk_pool *pool, rk_product *product) {
  rk_product_plan(product, rk_pool_threads(pool));
  return product->shared_bytes + (product->own_bytes + 64) * (size_t)rk_pool_threads(pool);
}

void bench_run(rk_pool *pool, const rk_product *product, void *scratch) {
  run x = {.product = product, .shared = scratch, .own = (char *)scratch + (product->shared_bytes + 63) / 64 * 64};
  if (product->threads == 1) {
    for (int i = 0; i < product->pack_tasks; i++) pack(&x, i, 0);
    for (int i = 0; i < product->tasks; i++) multiply(&x, i, 0);
    return;
  }
  rk_pool_run(pool, product->pack_tasks, pack, &x);
  rk_pool_run(pool, product->tasks, multiply, &x);
}
