// Kernels that measure a device: copying, reading, multiply-adds, and a launch that does nothing.
//
//   x, y   vectors of VEC ELEMENTs, `count` of them; x is only read
//   sums   one float (probe_read) or one vector (probe_multiply_add) an item
// Launch: one item for SEGMENT vectors that lie STEP apart, so ceil(count / SEGMENT / STEP) · STEP items; on
// GPU-class devices STEP is the group's size and neighbours read neighbours, on CPU-class devices groups have one
// item, STEP is 1, and an item reads in a row. probe_multiply_add: any items; each makes 24 · rounds · VEC
// multiply-adds in twelve chains; with a = b = 0.5 every chain ends at 1, so each sum is 12.
// Tunable: nothing; ELEMENT (float, half), VEC, SEGMENT and STEP come from the device's class.
// Check: -DELEMENT=float -DVEC=1,4 -DSEGMENT=16 -DSTEP=256
#ifdef HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif
#define PROBE_JOIN_(a, b) a##b
#define PROBE_JOIN(a, b) PROBE_JOIN_(a, b)
#if VEC == 1
typedef ELEMENT probe_vector;
#else
typedef PROBE_JOIN(ELEMENT, VEC) probe_vector;
#endif

kernel void probe_copy(global const probe_vector *x, global probe_vector *y, ulong count) {
  const ulong item = get_global_id(0);
  ulong at = item / STEP * STEP * SEGMENT + item % STEP;
  for (uint i = 0; i < SEGMENT; ++i, at += STEP) {
    if (at < count) y[at] = x[at];
  }
}

kernel void probe_read(global const probe_vector *x, global probe_vector *sums, ulong count) {
  const ulong item = get_global_id(0);
  ulong at = item / STEP * STEP * SEGMENT + item % STEP;
  probe_vector a = (probe_vector)(0), b = a, c = a, d = a;
  for (uint i = 0; i < SEGMENT; i += 4, at += 4 * STEP) {
    if (at + 3 * STEP < count) {
      a += x[at];
      b += x[at + STEP];
      c += x[at + 2 * STEP];
      d += x[at + 3 * STEP];
    }
  }
  sums[item] = a + b + c + d;
}

#define PROBE_CHAINS(s) \
  s##0 = fma(s##0, m, n);   \
  s##1 = fma(s##1, m, n);   \
  s##2 = fma(s##2, m, n);   \
  s##3 = fma(s##3, m, n);   \
  s##4 = fma(s##4, m, n);   \
  s##5 = fma(s##5, m, n);

kernel void probe_multiply_add(global probe_vector *sums, float a, float b, uint rounds) {
  const probe_vector m = (probe_vector)((ELEMENT)a), n = (probe_vector)((ELEMENT)b);
  probe_vector s0 = (probe_vector)(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
  probe_vector t0 = s0, t1 = s0, t2 = s0, t3 = s0, t4 = s0, t5 = s0;
  for (uint i = 0; i < rounds; ++i) {
    PROBE_CHAINS(s)
    PROBE_CHAINS(t)
    PROBE_CHAINS(s)
    PROBE_CHAINS(t)
  }
  sums[get_global_id(0)] = s0 + s1 + s2 + s3 + s4 + s5 + t0 + t1 + t2 + t3 + t4 + t5;
}

kernel void probe_none(global float *y, int always) {
  if (!always) y[get_global_id(0)] = 1.0f;
}
