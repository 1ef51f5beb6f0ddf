// What the processor offers.
#define _GNU_SOURCE
#include "ckernels.h"
#include "internal.h"
#include <dlfcn.h>

// Building with -DRK_PORTABLE leaves only the portable code, so that the tests can hold it to the references.
int rk_has_avx512_vnni(void) {
#if RK_X86 && !defined(RK_PORTABLE)
  static int has = -1;
  if (has < 0) {
    __builtin_cpu_init();
    has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
          __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
  }
  return has;
#else
  return 0;
#endif
}

int rk_has_avx512_bf16(void) {
#if RK_X86
  __builtin_cpu_init();
  return rk_has_avx512_vnni() && __builtin_cpu_supports("avx512bf16");
#else
  return 0;
#endif
}

int rk_has_avx2(void) {
#if RK_X86 && !defined(RK_PORTABLE)
  static int has = -1;
  if (has < 0) {
    __builtin_cpu_init();
    has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  }
  return has;
#else
  return 0;
#endif
}

void rk_openmp_single_thread(void) {
  // The pool is the only owner of threads; oneDNN's OpenMP team would compete with it.
  // The setting is the calling thread's own.
  static _Thread_local int is_set = 0;
  if (is_set) return;
  is_set = 1;
  void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  if (set) set(1);
}
