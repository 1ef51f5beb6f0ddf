// One NVIDIA instruction at a time as inline PTX: whether the driver takes it, and whether it computes.
//
//   y       what the instruction gave, [128] float; the host knows what is right
//   x       [128] float: 0, 1, 2, …
//   rounds  how often, for the rate
// Launch: groups of 32 items, one group for the check. Which kernel is built is chosen by one of PROBE_MMA,
// PROBE_LDMATRIX, PROBE_CP_ASYNC, PROBE_DP4A, so that one that does not build hides no other. Tunable: nothing.
// Check: -DPROBE_MMA
// Check: -DPROBE_LDMATRIX
// Check: -DPROBE_CP_ASYNC
// Check: -DPROBE_DP4A

#ifdef PROBE_MMA
#define PROBE_MMA_STEP(c)                                                                                  \
  __asm__ volatile(                                                                                        \
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, "        \
      "{%0,%1,%2,%3};"                                                                                     \
      : "+f"(c.s0), "+f"(c.s1), "+f"(c.s2), "+f"(c.s3)                                                     \
      : "r"(ones))

// Eight accumulators of 16 × 8 a warp take 16 × 16 by 16 × 8 ones each round: after r rounds all are 16 r.
kernel void probe_mma(global float *y, uint ones, uint rounds) {
  float4 c0 = (float4)(0.0f), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0;
  for (uint i = 0; i < rounds; ++i) {
    PROBE_MMA_STEP(c0);
    PROBE_MMA_STEP(c1);
    PROBE_MMA_STEP(c2);
    PROBE_MMA_STEP(c3);
    PROBE_MMA_STEP(c4);
    PROBE_MMA_STEP(c5);
    PROBE_MMA_STEP(c6);
    PROBE_MMA_STEP(c7);
  }
  const float4 sum = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7;
  vstore4(sum, get_global_id(0), y);
}
#endif

#ifdef PROBE_LDMATRIX
// Item l gets columns 2 (l mod 4) and the next of row l / 4 of the tile's first 8 × 8 corner.
kernel void probe_ldmatrix(global float *y) {
  local ushort tile[256] __attribute__((aligned(16)));
  const uint item = get_local_id(0);
  for (uint i = item; i < 256; i += 32) tile[i] = (ushort)i;
  barrier(CLK_LOCAL_MEM_FENCE);
  uint a, b, c, d;
  const uint at = (uint)(size_t)tile + (item & 15) * 32 + (item >> 4) * 16;
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(a), "=r"(b), "=r"(c), "=r"(d)
                   : "r"(at)
                   : "memory");
  y[item] = (float)(a & 0xffff);
}
#endif

#ifdef PROBE_CP_ASYNC
kernel void probe_cp_async(global const float *x, global float *y) {
  local float tile[128] __attribute__((aligned(16)));
  const uint item = get_local_id(0);
  const uint at = (uint)(size_t)(tile + item * 4);
  global const float *from = x + item * 4;
  __asm__ volatile(
      "cp.async.cg.shared.global [%0], [%1], 16;\n cp.async.commit_group;\n cp.async.wait_group 0;"
      :
      : "r"(at), "l"(from)
      : "memory");
  barrier(CLK_LOCAL_MEM_FENCE);
  y[item] = tile[(item * 4 + 4) % 128];
}
#endif

#ifdef PROBE_DP4A
kernel void probe_dp4a(global float *y) {
  const int item = get_local_id(0);
  int sum;
  __asm__ volatile("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(0x01010101), "r"(0x02020202), "r"(item));
  y[item] = (float)sum;
}
#endif
