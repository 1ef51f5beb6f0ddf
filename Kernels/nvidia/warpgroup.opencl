// Products of a whole warpgroup (four warps, 128 items) of NVIDIA's Hopper (sm_90a: `wgmma`), in two definitions with
// one meaning as in warp.opencl, which stands before this file.
//
// The driver compiles OpenCL C for sm_90, which lacks these instructions. So they are written as comments of the PTX
// that the driver's compiler makes, `/*sm_90a … */`; the host takes that text as the program's binary, makes
// instructions of the comments, names sm_90a as the target and loads it (PTXText.swift). With WARPGROUP_DIRECT they
// are instructions at once, for a compiler that targets sm_90a itself.
//
// A kernel that uses them has whole warpgroups, says WARPGROUP_STATE(items, memory); after WARP_STATE, where `memory`
// is the local array, 512-byte aligned, that tiles lie in, and takes each of them in all items of the group alike.
//
//   warpgroup_mma_bf16(c, a, tile)  starts c += a b in bfloat16 over 32 k's, two instructions m64n128k16 one after the
//                                   other. float c[64]: c[4 j + e] row 16 w + g (e > 1: + 8), column 8 j + 2 t + e % 2,
//                                   with w the warp, g = lane / 4, t = lane % 4. uint a[8]: for each half of the k's
//                                   the fragment a[4] of warp.opencl, row 16 w for 0. `tile` is a place in `memory`,
//                                   512-byte aligned: 128 columns of 32 k's, 64 bytes each, their four pieces of 8 k's
//                                   exchanged as warpgroup_place says
//   warpgroup_place(column, piece)  where in a tile, counted in pieces of 16 bytes, a column's piece lies: the 64-byte
//                                   swizzle of the instruction's descriptor
//   warpgroup_wait(n, a)            waits until at most the n newest products are under way (n is a constant); `a` is
//                                   what the newest that it ends was given. Until then neither `a` nor the tile may
//                                   change, nor may c be touched
//   warpgroup_end(c)                waits for all; c is there
//   warpgroup_load16(from)          a uint4 from global memory, read where it stands and not after a following barrier
//   warpgroup_barrier               what a copy's end is told to, in local memory
//   warpgroup_barriers(b, count)    makes an array of them ready; before their use all items meet at a barrier
//   warpgroup_copy(b, to, from, bytes, chosen)  in one item, where chosen is not 0, starts a copy of `bytes` (a multiple
//                                   of 16; both places 16-byte aligned) from global to local memory; b is the
//                                   barrier's place. What products read there must have ended in all items
//   warpgroup_copied(b, turn)       waits for the barrier's copy number `turn` (0, 1, …), which all items see then
//
// The emulation computes a product at the wait that ends it and shows NaNs in c until all have ended. Where a tile is
// not the same when a product starts and when it ends, or `a` not the same at its wait, NaNs stay. It copies at the wait, and fills the place with NaNs
// where the copy starts.

#define warpgroup_place(column, piece) ((column) * 4 + ((piece) ^ ((column) / 2 & 3)))

// Bits of a descriptor: address / 16 (14 bits), distances / 16 along k (not used with a swizzle) and from 8 columns to
// the next 8, and the swizzle's number, 2 for 64 bytes.
#define WARPGROUP_DESCRIPTOR ((ulong)2 << 62 | (ulong)(512 / 16) << 32 | (ulong)1 << 16)

#ifndef WARP_EMULATED

#ifdef WARPGROUP_DIRECT
#define warpgroup_ptx(text) text
#else
#define warpgroup_ptx(text) "/*sm_90a " text " */"
#endif

#define WARPGROUP_STATE(items, memory)

#define warpgroup_4(c, i) "+f"((c)[i]), "+f"((c)[(i) + 1]), "+f"((c)[(i) + 2]), "+f"((c)[(i) + 3])
#define warpgroup_16(c, i) \
  warpgroup_4(c, i), warpgroup_4(c, (i) + 4), warpgroup_4(c, (i) + 8), warpgroup_4(c, (i) + 12)
#define warpgroup_64(c) warpgroup_16(c, 0), warpgroup_16(c, 16), warpgroup_16(c, 32), warpgroup_16(c, 48)
#define WARPGROUP_SUMS                                                                                      \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27," \
  "%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,"    \
  "%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"

// One statement, so that nothing comes between the fence and the products. The second half of the k's lies 32 bytes
// further: the swizzle is applied to the sum.
#define warpgroup_mma_bf16(c, a, tile)                                                                    \
  __asm__ volatile(                                                                                       \
      warpgroup_ptx("{ .reg .pred adds; .reg .b64 next; setp.eq.u32 adds, 0, 0; add.s64 next, %72, 2; "   \
                    "wgmma.fence.sync.aligned; "                                                          \
                    "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " WARPGROUP_SUMS               \
                    ", {%64,%65,%66,%67}, %72, adds, 1, 1, 0; "                                           \
                    "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " WARPGROUP_SUMS               \
                    ", {%68,%69,%70,%71}, next, adds, 1, 1, 0; "                                          \
                    "wgmma.commit_group.sync.aligned; }")                                                 \
      : warpgroup_64(c)                                                                                   \
      : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((a)[4]), "r"((a)[5]), "r"((a)[6]),        \
        "r"((a)[7]), "l"(WARPGROUP_DESCRIPTOR | ((uint)(size_t)(tile) & 0x3ffff) >> 4)                    \
      : "memory")

#define warpgroup_wait(n, a)                                                                              \
  __asm__ volatile(warpgroup_ptx("wgmma.wait_group.sync.aligned %0;")::"n"(n), "r"((a)[0]), "r"((a)[1]),  \
                   "r"((a)[2]), "r"((a)[3]), "r"((a)[4]), "r"((a)[5]), "r"((a)[6]), "r"((a)[7])           \
                   : "memory")
#define warpgroup_end(c)                                                                         \
  __asm__ volatile(warpgroup_ptx("wgmma.wait_group.sync.aligned 0;") : warpgroup_64(c)::"memory")

// Loads that the assembler may take for constant (warp_load16) are put off until their values are needed.
__attribute__((always_inline)) inline uint4 warpgroup_load16(global const void *from) {
  uint4 x;
  __asm__ volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                   : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                   : "l"(from)
                   : "memory");
  return x;
}

typedef ulong warpgroup_barrier;

__attribute__((always_inline)) inline void warpgroup_barriers(local warpgroup_barrier *b, uint count) {
  if (get_local_id(0) == 0) {
    for (uint i = 0; i < count; ++i) {
      __asm__ volatile(warpgroup_ptx("mbarrier.init.shared::cta.b64 [%0], 1;")::"r"((uint)(size_t)(b + i)) : "memory");
    }
    __asm__ volatile(warpgroup_ptx("fence.mbarrier_init.release.cluster; fence.proxy.async.shared::cta;")::: "memory");
  }
}

// Predicated: a branch would part the warp before instructions that it must take as one.
#define warpgroup_copy(b, to, from, bytes, chosen)                                                           \
  __asm__ volatile(                                                                                          \
      warpgroup_ptx("{ .reg .pred mine; setp.ne.u32 mine, %4, 0; "                                           \
                    "@mine mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %3; "                          \
                    "@mine cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%1], [%2], %3, " \
                    "[%0]; }")::"r"((uint)(size_t)(b)),                                                      \
      "r"((uint)(size_t)(to)), "l"(from), "r"((uint)(bytes)), "r"((uint)(chosen))                            \
      : "memory")

// With WARPGROUP_TRIES it gives up after so many: for a first try on a device. A test does not block, where a try may
// be suspended for as long as the system likes.
#ifdef WARPGROUP_TRIES
#define warpgroup_test "mbarrier.test_wait.parity.shared::cta.b64"
#define warpgroup_again "sub.u32 tries, tries, 1; setp.eq.or.u32 done, tries, 0, done; @!done bra again; }"
#else
#define WARPGROUP_TRIES 0
#define warpgroup_test "mbarrier.try_wait.parity.shared::cta.b64"
#define warpgroup_again "@!done bra again; }"
#endif
#define warpgroup_copied(b, turn)                                                                            \
  __asm__ volatile(                                                                                          \
      warpgroup_ptx("{ .reg .pred done; .reg .u32 tries; mov.u32 tries, %2; "                                \
                    "again: " warpgroup_test " done, [%0], %1; " warpgroup_again)::"r"(                      \
          (uint)(size_t)(b)),                                                                                \
      "r"((uint)(turn) & 1), "n"(WARPGROUP_TRIES)                                                            \
      : "memory")

#else

// Products of an item that are under way, and what the tiles held when they started: a sum over this item's share.
typedef struct {
  uint count, a[2][8], held[2], changed;
  ulong tile[2];
  float sum[64];
  local const uchar *memory;
  local uint *fragments;
} warpgroup_products;

#define WARPGROUP_STATE(items, place)                                      \
  local uint warpgroup_scratch[8 * (items)];                               \
  warpgroup_products warpgroup_items_products;                             \
  warpgroup_products *warpgroup_queue = &warpgroup_items_products;         \
  warpgroup_queue->count = warpgroup_queue->changed = 0;                   \
  warpgroup_queue->memory = (local const uchar *)(place);                  \
  warpgroup_queue->fragments = warpgroup_scratch

// The place of a column's k in a tile, as the instruction finds it: the descriptor's address plus distances, and in
// the sum bits 4 and 5 exchanged by bits 7 and 8.
local const ushort *warpgroup_number(local const uchar *memory, ulong tile, uint column, uint k) {
  const uint start = (uint)(tile & 0x3fff) << 4, eights = (uint)(tile >> 32 & 0x3fff) << 4;
  const uint address = start + column / 8 * eights + column % 8 * 64 + k * 2;
  return (local const ushort *)(memory + (address ^ (address >> 3 & 0x30)));
}

uint warpgroup_tile_sum(local const uchar *memory, ulong tile) {
  local const uint *from = (local const uint *)(memory + ((tile & 0x3fff) << 4)) + get_local_id(0) % 128 * 16;
  uint sum = 0;
  for (uint i = 0; i < 16; ++i) sum = sum * 0x9e3779b9 + from[i];
  return sum;
}

warp_inline void warpgroup_start(warpgroup_products *queue, float *c, const uint *a, local const void *tile) {
  const uint place = queue->count;
  for (uint i = 0; i < 64; ++i) {
    if (place == 0) queue->sum[i] = c[i];
    c[i] = NAN;
  }
  for (uint i = 0; i < 8; ++i) queue->a[place][i] = a[i];
  queue->tile[place] = WARPGROUP_DESCRIPTOR | (ulong)((local const uchar *)tile - queue->memory) >> 4;
  queue->held[place] = warpgroup_tile_sum(queue->memory, queue->tile[place]);
  queue->count = place + 1;
}

// Ends the oldest product.
warp_inline void warpgroup_run(warpgroup_products *queue) {
  const uint item = get_local_id(0), lane = item % 32;
  for (uint i = 0; i < 8; ++i) queue->fragments[8 * item + i] = queue->a[0][i];
  barrier(CLK_LOCAL_MEM_FENCE);
  local const uint *warp = queue->fragments + item / 32 * 256;
  const int same = !queue->changed && warpgroup_tile_sum(queue->memory, queue->tile[0]) == queue->held[0];
  for (uint i = 0; i < 64; ++i) {
    const uint row = lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    float sum = same ? queue->sum[i] : NAN;
    for (uint k = 0; k < 32; ++k) {
      local const uint *left = warp + 8 * (row % 8 * 4 + k % 8 / 2) + k / 16 * 4 + row / 8 + k % 16 / 8 * 2;
      // The second instruction's descriptor begins two sixteens of bytes further.
      const ulong tile = queue->tile[0] + k / 16 * 2;
      const uint right = *warpgroup_number(queue->memory, tile, column, k % 16);
      sum = fma(warp_number(left, k % 2, 0), as_float(right << 16), sum);
    }
    queue->sum[i] = sum;
  }
  for (uint i = 0; i < 8; ++i) queue->a[0][i] = queue->a[1][i];
  queue->tile[0] = queue->tile[1];
  queue->held[0] = queue->held[1];
  queue->count -= 1;
  barrier(CLK_LOCAL_MEM_FENCE);
}

// Registers that have changed since the product started are as wrong as a tile that has.
warp_inline void warpgroup_run_kept(warpgroup_products *queue, const uint *a) {
  for (uint i = 0; i < 8; ++i) queue->changed |= a[i] != queue->a[0][i];
  warpgroup_run(queue);
}

#define warpgroup_mma_bf16(c, a, tile) warpgroup_start(warpgroup_queue, &(c)[0], &(a)[0], tile)
#define warpgroup_wait(n, a) \
  if (warpgroup_queue->count > (n)) warpgroup_run_kept(warpgroup_queue, &(a)[0])
#define warpgroup_end(c)                                                    \
  while (warpgroup_queue->count > 0) warpgroup_run(warpgroup_queue);        \
  for (uint i = 0; i < 64; ++i) (c)[i] = warpgroup_queue->sum[i]

uint4 warpgroup_load16(global const void *from) { return *(global const uint4 *)from; }

// A copy under way, and how many have ended.
typedef struct {
  ulong to, from;
  uint bytes, started, ended;
} warpgroup_barrier;

void warpgroup_barriers(local warpgroup_barrier *b, uint count) {
  for (uint i = 0; get_local_id(0) == 0 && i < count; ++i) b[i].started = b[i].ended = 0;
}

void warpgroup_copy(local warpgroup_barrier *b, local void *to, global const void *from, uint bytes, int chosen) {
  if (!chosen) return;
  for (uint i = 0; i < bytes / 16; ++i) ((local uint4 *)to)[i] = (uint4)(0xffffffff);
  b->to = (ulong)(size_t)to;
  b->from = (ulong)(size_t)from;
  b->bytes = bytes;
  b->started += 1;
}

// The instruction waits while the number of copies that have ended has the turn's parity.
warp_inline void warpgroup_copied(local warpgroup_barrier *b, uint turn) {
  barrier(CLK_LOCAL_MEM_FENCE);
  if (get_local_id(0) == 0 && b->started != b->ended && (b->ended & 1) == (turn & 1)) {
    for (uint i = 0; i < b->bytes / 16; ++i) {
      ((local uint4 *)(size_t)b->to)[i] = ((global const uint4 *)(size_t)b->from)[i];
    }
    b->ended += 1;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

#endif
