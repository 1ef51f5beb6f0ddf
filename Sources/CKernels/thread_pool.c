// A pool whose workers park on a futex between jobs.
#define _GNU_SOURCE
#include "ckernels.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// About 20 microseconds: longer than the gap between two operations of a step, far shorter than a step.
#define SPIN_ROUNDS 600

typedef struct {
  rk_pool *pool;
  int index;
  pthread_t handle;
} worker;

struct rk_pool {
  int threads;
  worker *workers;
  rk_task task;
  void *context;
  int count;
  int stopping;
  _Alignas(64) atomic_uint generation;
  _Alignas(64) atomic_int next;
  _Alignas(64) atomic_int running;
  _Alignas(64) atomic_int parked;
};

static void futex_wait(atomic_uint *word, unsigned value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static void work(rk_pool *pool, int thread) {
  for (;;) {
    int task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (task >= pool->count) return;
    pool->task(pool->context, task, thread);
  }
}

static void *worker_main(void *argument) {
  worker *self = argument;
  rk_pool *pool = self->pool;
  rk_openmp_single_thread();
  unsigned seen = 0;
  for (;;) {
    int rounds = 0;
    while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen) {
      if (rounds++ < SPIN_ROUNDS) {
        relax();
        continue;
      }
      atomic_fetch_add(&pool->parked, 1);
      futex_wait(&pool->generation, seen);
      atomic_fetch_sub(&pool->parked, 1);
    }
    seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
    if (pool->stopping) return NULL;
    work(pool, self->index);
    atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
  }
}

rk_pool *rk_pool_create(int threads) {
  if (threads < 1) threads = 1;
  rk_pool *pool = aligned_alloc(64, (sizeof(rk_pool) + 63) / 64 * 64);
  if (!pool) return NULL;
  *pool = (rk_pool){.threads = threads};
  pool->workers = calloc((size_t)threads, sizeof(worker));
  if (!pool->workers) {
    free(pool);
    return NULL;
  }
  for (int i = 1; i < threads; i++) {
    pool->workers[i] = (worker){.pool = pool, .index = i};
    if (pthread_create(&pool->workers[i].handle, NULL, worker_main, &pool->workers[i]) != 0) {
      pool->threads = i;
      break;
    }
  }
  return pool;
}

static void publish(rk_pool *pool) {
  atomic_fetch_add(&pool->generation, 1);
  if (atomic_load(&pool->parked) > 0) futex_wake(&pool->generation);
}

void rk_pool_destroy(rk_pool *pool) {
  if (!pool) return;
  pool->stopping = 1;
  atomic_fetch_add(&pool->generation, 1);
  futex_wake(&pool->generation);
  for (int i = 1; i < pool->threads; i++) pthread_join(pool->workers[i].handle, NULL);
  free(pool->workers);
  free(pool);
}

int rk_pool_threads(const rk_pool *pool) { return pool->threads; }

void rk_pool_run(rk_pool *pool, int count, rk_task task, void *context) {
  if (count <= 0) return;
  if (pool->threads == 1 || count == 1) {
    for (int i = 0; i < count; i++) task(context, i, 0);
    return;
  }
  pool->task = task;
  pool->context = context;
  pool->count = count;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->running, pool->threads - 1, memory_order_relaxed);
  publish(pool);
  work(pool, 0);
  // The tail of a job is shorter than a futex round trip, but a descheduled worker may take a time slice.
  int rounds = 0;
  while (atomic_load_explicit(&pool->running, memory_order_acquire) > 0) {
    if (rounds++ < 4096) relax();
    else sched_yield();
  }
}
