// A loop of products of a warpgroup, one under way while the next starts: y[item] is a sum over what an item has.
kernel __attribute__((reqd_work_group_size(128, 1, 1))) void loop(global const uint4 *left, global float *y, uint spans) {
  local uint4 tile[512] __attribute__((aligned(1024)));
  const uint item = get_local_id(0);
  for (uint i = item; i < 512; i += 128) tile[i] = left[i];
  barrier(CLK_LOCAL_MEM_FENCE);
  float sum[64];
  warp_unroll for (uint i = 0; i < 64; ++i) sum[i] = y[i];
  uint a[2][8];
  warp_unroll for (uint d = 0; d < 2; ++d) {
    warp_unroll for (uint i = 0; i < 8; ++i) a[d][i] = 0;
  }
  for (uint span = 0; span < spans; span += 2) {
    warp_unroll for (uint d = 0; d < 2; ++d) {
      warpgroup_mma_bf16(sum, a[d], tile);
      warpgroup_wait(1, a[1 - d]);
      const uint4 next = warpgroup_load16(left + span * 128 + item);
      a[1 - d][0] = next.x;
      a[1 - d][7] = next.w;
    }
  }
  warpgroup_end(sum);
  float total = 0.0f;
  warp_unroll for (uint i = 0; i < 64; ++i) total += sum[i];
  y[item] = total;
}
