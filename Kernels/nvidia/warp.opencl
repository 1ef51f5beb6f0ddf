// Instructions of a whole warp of NVIDIA's GPUs (compute capability 8.0 on), in two definitions with one meaning:
// inline PTX, and with WARP_EMULATED plain OpenCL C, so that the same kernels run on any device for tests.
//
// A kernel that uses them
//   - has groups of one dimension, whole warps of 32 items, and says WARP_STATE(items); in its outermost scope,
//     `items` being its group's size;
//   - takes every one of them in all items of the group alike: no item leaves early, no warp takes another path.
//     PTX asks this of a warp, the emulation, which exchanges through local memory, of the group.
//
// Fragments of an m16n8k16 product, c += a b, with g = lane / 4 and t = lane % 4; registers hold two 16-bit numbers,
// the one of lower k in the low half:
//   a[0] row g,     k 2t, 2t+1      a[1] row g+8, k 2t, 2t+1     (uint a[4], 16 × 16)
//   a[2] row g,     k 2t+8, 2t+9    a[3] row g+8, k 2t+8, 2t+9
//   b[0] column g,  k 2t, 2t+1      b[1] column g, k 2t+8, 2t+9  (uint b[2], 16 × 8)
//   c[0], c[1] row g, columns 2t, 2t+1     c[2], c[3] row g+8    (float c[4], 16 × 8)
// Of an m16n8k32 product of bytes, registers hold four k's, the lowest in the low byte:
//   a[0] row g,     k 4t … 4t+3     a[1] row g+8, k 4t … 4t+3    (uint a[4], 16 × 32)
//   a[2] row g,     k 4t+16 … +19   a[3] row g+8, k 4t+16 … +19
//   b[0] column g,  k 4t … 4t+3     b[1] column g, k 4t+16 … +19 (uint b[2], 32 × 8); c as above, int c[4]
//
//   warp_mma_bf16(c, a, b)        c += a b in bfloat16; arrays, or anything that takes [i]
//   warp_mma_f16(c, a, b)         the same in half precision
//   warp_mma_s8(c, a, b)          the same of signed bytes, m16n8k32, c in 32-bit integers
//   warp_matrices(r, place)       four 8 × 8 matrices of 16-bit numbers from local memory into uint r[4]: lane l gives
//                                 the place (local pointer, 16-byte aligned) of row l % 8 of matrix l / 8; r[j] gets
//                                 row g, elements 2t, 2t+1 of matrix j
//   warp_matrices_turned(r, place)  transposed: r[j] gets rows 2t, 2t+1 of column g
//   warp_copy16(to, from, bytes)  starts a copy of 16 bytes from global to local memory, both 16-byte aligned; only
//                                 the first `bytes` (0 or 16) are read, zeros replace the rest
//   warp_copies_end()             ends a group of copies
//   warp_copies_wait(n)           waits until at most the n newest groups of this item are under way; n is a constant.
//                                 What other items copied is seen after a barrier that follows their wait
//   warp_xor(x, mask)             the float x of lane ^ mask
//   warp_xor_uint(x, mask)        the same of a uint
//   warp_sync()                   what lanes of the warp wrote to local memory before it, all of them see after it
//   warp_load16(from)             a uint4 from global memory that is read once and never written by the kernel
//   warp_pack_bf16(low, high)     two floats rounded to bfloat16 in a register
//   warp_pack_f16(low, high)      the same in half precision
//                                 A function that starts copies has WARP_COPIES_PARAMETER before its first parameter and
//                                 gets WARP_COPIES_ARGUMENT
//   warp_unroll                   before a loop of constant length whose arrays are to be registers
//
// The emulation copies at the wait that asks for it, as late as the hardware may, and fills the place with NaNs where
// the copy starts, as early as it may: a kernel that waits for the wrong group, or starts a copy to what others still
// read, computes wrong results there too. At most WARP_COPIES of an item are under way.

#ifndef WARP_EMULATED

#define WARP_STATE(items)
#define WARP_COPIES_PARAMETER
#define WARP_COPIES_ARGUMENT
#define warp_unroll _Pragma("unroll")

#define warp_mma_(type, c, a, b)                                                                 \
  __asm__ volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                        \
                   ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                  \
                   : "+f"((c)[0]), "+f"((c)[1]), "+f"((c)[2]), "+f"((c)[3])                      \
                   : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]))
#define warp_mma_bf16(c, a, b) warp_mma_("bf16", c, a, b)
#define warp_mma_f16(c, a, b) warp_mma_("f16", c, a, b)
#define warp_mma_s8(c, a, b)                                                                     \
  __asm__ volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32"                             \
                   " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                      \
                   : "+r"((c)[0]), "+r"((c)[1]), "+r"((c)[2]), "+r"((c)[3])                      \
                   : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]))

#define warp_matrices_(kind, r, place)                                                           \
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4" kind ".shared.b16 {%0,%1,%2,%3}, [%4];"       \
                   : "=r"((r)[0]), "=r"((r)[1]), "=r"((r)[2]), "=r"((r)[3])                      \
                   : "r"((uint)(size_t)(place))                                                  \
                   : "memory")
#define warp_matrices(r, place) warp_matrices_("", r, place)
#define warp_matrices_turned(r, place) warp_matrices_(".trans", r, place)

#define warp_copy16(to, from, bytes)                                                             \
  __asm__ volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((uint)(size_t)(to)),    \
                   "l"(from), "r"((uint)(bytes))                                                 \
                   : "memory")
#define warp_copies_end() __asm__ volatile("cp.async.commit_group;" ::: "memory")
#define warp_copies_wait(n) __asm__ volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")

__attribute__((always_inline)) inline uint warp_xor_uint(uint x, uint mask) {
  uint y;
  __asm__ volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(y) : "r"(x), "r"(mask));
  return y;
}
#define warp_xor(x, mask) as_float(warp_xor_uint(as_uint(x), mask))
#define warp_sync() __asm__ volatile("bar.warp.sync 0xffffffff;" ::: "memory")

__attribute__((always_inline)) inline uint4 warp_load16(global const void *from) {
  uint4 x;
  __asm__ volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                   : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                   : "l"(from));
  return x;
}

__attribute__((always_inline)) inline uint warp_pack_bf16(float low, float high) {
  uint x;
  __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(x) : "f"(high), "f"(low));
  return x;
}

__attribute__((always_inline)) inline uint warp_pack_f16(float low, float high) {
  uint x;
  __asm__("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(x) : "f"(high), "f"(low));
  return x;
}

#else

#ifndef WARP_COPIES
#define WARP_COPIES 64
#endif

// Copies of an item that are under way: each with its group.
typedef struct {
  uint count, group;
  ulong to[WARP_COPIES], from[WARP_COPIES];
  uint bytes[WARP_COPIES], of[WARP_COPIES];
} warp_copies;

#define WARP_STATE(items)                   \
  local uint warp_scratch[6 * (items)];     \
  local ulong warp_places[(items)];         \
  warp_copies warp_items_copies;            \
  warp_copies *warp_queue = &warp_items_copies; \
  warp_queue->count = warp_queue->group = 0
#define WARP_COPIES_PARAMETER warp_copies *warp_queue,
#define WARP_COPIES_ARGUMENT warp_queue,

// Unrolled, emulated instructions would take minutes to compile.
#define warp_unroll _Pragma("clang loop unroll(disable)")

#define warp_inline __attribute__((always_inline)) inline

float warp_number(local const uint *registers, uint index, int half_precision) {
  return half_precision ? vload_half(index, (local const half *)registers)
                        : as_float((uint)((local const ushort *)registers)[index] << 16);
}

warp_inline void warp_emulate_mma(float *c, const uint *a, const uint *b, local uint *scratch, int half_precision) {
  const uint item = get_local_id(0), lane = item % 32;
  for (uint i = 0; i < 4; ++i) scratch[6 * item + i] = a[i];
  for (uint i = 0; i < 2; ++i) scratch[6 * item + 4 + i] = b[i];
  barrier(CLK_LOCAL_MEM_FENCE);
  local const uint *warp = scratch + item / 32 * 192;
  for (uint i = 0; i < 4; ++i) {
    const uint row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float sum = c[i];
    for (uint k = 0; k < 16; ++k) {
      local const uint *left = warp + 6 * (row % 8 * 4 + k % 8 / 2) + row / 8 + k / 8 * 2;
      local const uint *right = warp + 6 * (column * 4 + k % 8 / 2) + 4 + k / 8;
      sum = fma(warp_number(left, k % 2, half_precision), warp_number(right, k % 2, half_precision), sum);
    }
    c[i] = sum;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}
#define warp_mma_bf16(c, a, b) warp_emulate_mma(&(c)[0], &(a)[0], &(b)[0], warp_scratch, 0)
#define warp_mma_f16(c, a, b) warp_emulate_mma(&(c)[0], &(a)[0], &(b)[0], warp_scratch, 1)

warp_inline void warp_emulate_mma_s8(int *c, const uint *a, const uint *b, local uint *scratch) {
  const uint item = get_local_id(0), lane = item % 32;
  for (uint i = 0; i < 4; ++i) scratch[6 * item + i] = a[i];
  for (uint i = 0; i < 2; ++i) scratch[6 * item + 4 + i] = b[i];
  barrier(CLK_LOCAL_MEM_FENCE);
  local const uint *warp = scratch + item / 32 * 192;
  for (uint i = 0; i < 4; ++i) {
    const uint row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    int sum = c[i];
    for (uint word = 0; word < 8; ++word) {
      const uint left = warp[6 * (row % 8 * 4 + word % 4) + row / 8 + word / 4 * 2];
      const uint right = warp[6 * (column * 4 + word % 4) + 4 + word / 4];
      const int4 products = convert_int4(as_char4(left)) * convert_int4(as_char4(right));
      sum += products.x + products.y + products.z + products.w;
    }
    c[i] = sum;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}
#define warp_mma_s8(c, a, b) warp_emulate_mma_s8(&(c)[0], &(a)[0], &(b)[0], warp_scratch)

warp_inline void warp_emulate_matrices(uint *r, local const void *place, local ulong *places, int turned) {
  const uint item = get_local_id(0), lane = item % 32, g = lane / 4, t = lane % 4;
  places[item] = (ulong)(size_t)place;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint j = 0; j < 4; ++j) {
    local const ulong *rows = places + item / 32 * 32 + 8 * j;
    uint pair[2];
    for (uint e = 0; e < 2; ++e) {
      local const ushort *row = (local const ushort *)(size_t)rows[turned ? 2 * t + e : g];
      pair[e] = row[turned ? g : 2 * t + e];
    }
    r[j] = pair[0] | pair[1] << 16;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}
#define warp_matrices(r, place) warp_emulate_matrices(&(r)[0], place, warp_places, 0)
#define warp_matrices_turned(r, place) warp_emulate_matrices(&(r)[0], place, warp_places, 1)

void warp_emulate_copy(warp_copies *queue, local void *to, global const void *from, uint bytes) {
  *(local uint4 *)to = (uint4)(0xffffffff);
  queue->to[queue->count] = (ulong)(size_t)to;
  queue->from[queue->count] = (ulong)(size_t)from;
  queue->bytes[queue->count] = bytes;
  queue->of[queue->count++] = queue->group;
}

void warp_emulate_wait(warp_copies *queue, uint n) {
  uint kept = 0;
  for (uint i = 0; i < queue->count; ++i) {
    if (queue->of[i] + n < queue->group) {
      local uint4 *target = (local uint4 *)(size_t)queue->to[i];
      *target = queue->bytes[i] == 0 ? (uint4)(0) : *(global const uint4 *)(size_t)queue->from[i];
    } else {
      queue->to[kept] = queue->to[i];
      queue->from[kept] = queue->from[i];
      queue->bytes[kept] = queue->bytes[i];
      queue->of[kept++] = queue->of[i];
    }
  }
  queue->count = kept;
}
#define warp_copy16(to, from, bytes) warp_emulate_copy(warp_queue, to, from, bytes)
#define warp_copies_end() warp_queue->group += 1
#define warp_copies_wait(n) warp_emulate_wait(warp_queue, n)

warp_inline uint warp_emulate_xor(uint x, uint mask, local uint *scratch) {
  const uint item = get_local_id(0);
  scratch[item] = x;
  barrier(CLK_LOCAL_MEM_FENCE);
  const uint y = scratch[item ^ mask];
  barrier(CLK_LOCAL_MEM_FENCE);
  return y;
}
#define warp_xor_uint(x, mask) warp_emulate_xor(x, mask, warp_scratch)
#define warp_xor(x, mask) as_float(warp_emulate_xor(as_uint(x), mask, warp_scratch))
#define warp_sync() barrier(CLK_LOCAL_MEM_FENCE)

uint4 warp_load16(global const void *from) { return *(global const uint4 *)from; }

uint warp_round_bf16(float x) {
  const uint bits = as_uint(x);
  return isnan(x) ? bits >> 16 | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

uint warp_pack_bf16(float low, float high) { return warp_round_bf16(low) | warp_round_bf16(high) << 16; }

uint warp_pack_f16(float low, float high) {
  ushort pair[2];
  vstore_half_rte(low, 0, (half *)pair);
  vstore_half_rte(high, 1, (half *)pair);
  return pair[0] | (uint)pair[1] << 16;
}

#endif
