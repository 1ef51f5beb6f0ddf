// A vector type of VEC floats and the functions that the row kernels share.
//
// VEC is 16 on CPU-class devices (one AVX-512 register) and 4 on GPU-class devices (one load of 16 bytes), or 1.
// GROUP is the number of work-items that share a row, a power of two: 1 on CPU-class devices, where no barrier is
// compiled in.
// ALIGNED (VEC 4): all rows start at multiples of 16 bytes and are whole vectors, so that a vector is one load.
// HELD: vectors of a row that an item keeps in registers between passes; 0 reads the row again in every pass.
// SUBGROUP: work-items of a subgroup that the kernel demands and exchanges values in, 0 for none; WARP: the same
// with the 32 lanes of NVIDIA's warps.
// No result depends on ALIGNED, HELD, SUBGROUP or WARP: they leave the order of every sum as it is.
// The exponential is a polynomial of its own, so that both classes round alike (2 ulp; see Cephes expf).

#ifndef VEC
#define VEC 1
#endif
#ifndef GROUP
#define GROUP 64
#endif
#ifndef ALIGNED
#define ALIGNED 0
#endif
#ifndef HELD
#define HELD 0
#endif
#ifndef SUBGROUP
#define SUBGROUP 0
#endif

#if VEC == 16
typedef float16 real;
typedef int16 integer;
#define as_real(x) as_float16(x)
#define as_integer(x) as_int16(x)
#define splat(x) ((float16)(x))
#define VEC_LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define load_vector(p) vload16(0, p)
#define store_vector(x, p) vstore16(x, 0, p)
#elif VEC == 4
typedef float4 real;
typedef int4 integer;
#define as_real(x) as_float4(x)
#define as_integer(x) as_int4(x)
#define splat(x) ((float4)(x))
#define VEC_LANES ((int4)(0, 1, 2, 3))
#if ALIGNED
#define load_vector(p) (*(global const float4 *)(p))
#define store_vector(x, p) (*(global float4 *)(p) = (x))
#else
#define load_vector(p) vload4(0, p)
#define store_vector(x, p) vstore4(x, 0, p)
#endif
#else
typedef float real;
typedef int integer;
#define as_real(x) as_float(x)
#define as_integer(x) as_int(x)
#define splat(x) (x)
#define VEC_LANES 0
#define load_vector(p) ((p)[0])
#define store_vector(x, p) ((p)[0] = (x))
#endif

// Whether vectors are always whole.
#define WHOLE (VEC == 1 || ALIGNED)

// The vector at p, of which `count` elements exist; zeros for the others.
real load_real(global const float *p, uint count) {
#if WHOLE
  return load_vector(p);
#elif VEC == 4
  if (count >= VEC) return load_vector(p);
  return (float4)(p[0], count > 1 ? p[1] : 0.0f, count > 2 ? p[2] : 0.0f, 0.0f);
#else
  if (count >= VEC) return load_vector(p);
  float values[VEC];
  for (uint i = 0; i < VEC; ++i) values[i] = i < count ? p[i] : 0.0f;
  return vload16(0, values);
#endif
}

void store_real(real x, global float *p, uint count) {
#if WHOLE
  store_vector(x, p);
#elif VEC == 4
  if (count >= VEC) {
    store_vector(x, p);
  } else {
    p[0] = x.x;
    if (count > 1) p[1] = x.y;
    if (count > 2) p[2] = x.z;
  }
#else
  if (count >= VEC) {
    store_vector(x, p);
  } else {
    float values[VEC];
    vstore16(x, 0, values);
    for (uint i = 0; i < count; ++i) p[i] = values[i];
  }
#endif
}

// x in lanes below count, `other` in the rest.
real keep_lanes(real x, uint count, float other) {
#if WHOLE
  return x;
#else
  return select(splat(other), x, VEC_LANES < (integer)((int)count));
#endif
}

float sum_lanes(real x) {
#if VEC == 1
  return x;
#else
#if VEC == 16
  const float8 a = x.lo + x.hi;
  const float4 b = a.lo + a.hi;
#else
  const float4 b = x;
#endif
  const float2 c = b.lo + b.hi;
  return c.x + c.y;
#endif
}

float max_lanes(real x) {
#if VEC == 1
  return x;
#else
#if VEC == 16
  const float8 a = fmax(x.lo, x.hi);
  const float4 b = fmax(a.lo, a.hi);
#else
  const float4 b = x;
#endif
  const float2 c = fmax(b.lo, b.hi);
  return fmax(c.x, c.y);
#endif
}

// e^x over the whole range of floats; a NaN stays one.
real exp_real(real x) {
  real bounded = select(x, splat(-110.0f), x < splat(-110.0f));
  bounded = select(bounded, splat(110.0f), bounded > splat(110.0f));
  // The sum's low bits are the nearest whole number: one instruction where compilers make twenty of rint.
  const real shifted = fma(bounded, splat(1.44269504088896341f), splat(12582912.0f));
  const real n = shifted - splat(12582912.0f);
  real r = fma(n, splat(-0.693359375f), bounded);
  r = fma(n, splat(2.12194440e-4f), r);
  real p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + splat(1.0f);
  // 2^n in two factors, so that neither leaves the exponent's range.
  const integer whole = as_integer(shifted) - as_integer(splat(12582912.0f)), part = whole >> 1;
  return p * as_real((part + 127) << 23) * as_real((whole - part + 127) << 23);
}

// Defines name(x) = 2^x for x up to 127, to 1.6e-7 of it, for a vector type: half of what exp_real takes. It is 0 below
// 2^-125; a NaN stays one, since the power of the whole part is a factor: added to the exponent's bits, it would make a
// number of NVIDIA's NaNs, whose bits are all set. The low bits of the sum are the whole part + 126, the polynomial is
// 2^(f + 1).
#define DEFINE_POWER_OF_TWO(name, type, as_type, as_whole)                 \
  type name(type x) {                                                      \
    const type shifted = x + (type)(12583038.0f);                          \
    const type f = x - (shifted - (type)(12583038.0f));                    \
    type p = (type)(2.652945462614298e-3f);                                \
    p = fma(p, f, (type)(1.9343025982379914e-2f));                         \
    p = fma(p, f, (type)(1.1101467162370682e-1f));                         \
    p = fma(p, f, (type)(4.8044484853744507e-1f));                         \
    p = fma(p, f, (type)(1.3862940073013306f));                            \
    p = fma(p, f, (type)(2.0f));                                           \
    p *= as_type(as_whole(shifted) << 23);                                 \
    return select(p, (type)(0.0f), x < (type)(-125.0f));                   \
  }
DEFINE_POWER_OF_TWO(real_power_of_two, real, as_real, as_integer)

// The normal distribution's upper tail, erfc(size / √2) / 2, for sizes from 0 on, where bell = exp(−size² / 2): a
// polynomial in t = 1 / (1 + 0.3 size / √2), fitted to a relative error of 4e-8. Compilers call erfc lane by lane.
real normal_tail(real size, real bell) {
  const real t = splat(1.0f) / fma(splat(0.21213203435596426f), size, splat(1.0f));
  // By pairs: a chain of nine fma takes longer than the arithmetic of an item's vectors.
  const real t2 = t * t, t4 = t2 * t2;
  const real a = fma(splat(0.17069296538829803f), t, splat(0.1691892445087433f));
  const real b = fma(splat(0.21425092220306396f), t, splat(0.14850519597530365f));
  const real c = fma(splat(0.5452581644058228f), t, splat(-0.09300713986158371f));
  const real d = fma(splat(0.48445332050323486f), t, splat(-0.5100550055503845f));
  const real upper = fma(splat(-0.1292877048254013f), t4, fma(d, t2, c));
  const real p = fma(upper, t4, fma(b, t2, a));
  return splat(0.5f) * t * p * bell;
}

// A row between passes. ROW(name) declares the registers; FOR_ROW(i, c, width) runs over the item's vectors, c being
// the first column of vector i; KEEP(name, i, x) is x, kept; KEPT(name, i, x) is what was kept, or x computed again.
#if HELD
#define ROW(name) real name[HELD]
#define FOR_ROW(i, c, width)                                                              \
  _Pragma("unroll") for (uint i = 0, c = GROUP_ITEM * VEC; i < HELD; ++i, c += GROUP * VEC) \
    if (c < (width))
#define KEEP(name, i, x) (name[i] = (x))
#define KEPT(name, i, x) (name[i])
#else
#define ROW(name)
#define FOR_ROW(i, c, width) for (uint i = 0, c = GROUP_ITEM * VEC; c < (width); ++i, c += GROUP * VEC)
#define KEEP(name, i, x) (x)
#define KEPT(name, i, x) (x)
#endif

// A kernel with a group a row is declared `kernel GROUP_KERNEL void …`, has GROUP_LOCAL(scratch); in its outermost
// scope, and reduces in all items of the group alike. Its row is GROUP_ROW: a launch of more rows than a device takes at
// once goes in several, each with an offset.
#define GROUP_ROW ((size_t)get_group_id(1) + get_global_offset(1))
#if GROUP == 1
#define GROUP_KERNEL
#define GROUP_LOCAL(name)
#define GROUP_SUM(x, name) (x)
#define GROUP_MAX(x, name) (x)
#define GROUP_ITEM 0u
#else
#define GROUP_SUM(x, name) group_reduce(x, name, 0)
#define GROUP_MAX(x, name) group_reduce(x, name, 1)
#define GROUP_ITEM ((uint)get_local_id(0))

#if SUBGROUP
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#define EXCHANGE SUBGROUP
#define exchange(x, mask) intel_sub_group_shuffle_xor(x, mask)
#define GROUP_KERNEL __attribute__((reqd_work_group_size(GROUP, 1, 1), intel_reqd_sub_group_size(SUBGROUP)))
#elif defined(WARP)
#define EXCHANGE 32
#define GROUP_KERNEL __attribute__((reqd_work_group_size(GROUP, 1, 1)))
float exchange(float x, uint mask) {
  float y;
  __asm__ volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(y) : "f"(x), "r"(mask));
  return y;
}
#else
#define EXCHANGE 1
#define GROUP_KERNEL __attribute__((reqd_work_group_size(GROUP, 1, 1)))
#endif

// Numbers of the scratch: a part a subgroup, or two rounds of one an item.
#if EXCHANGE > 1
#define GROUP_PARTS (GROUP / EXCHANGE)
#define GROUP_LOCAL(name) local float name[GROUP_PARTS]
#else
#define GROUP_LOCAL(name) local float name[2 * GROUP]
#endif

// The sum (or maximum) of x over the group, in every item of it. Neighbours come first, then pairs of neighbours, and
// so on, whoever exchanges them, so that every variant gives the same bits.
float group_reduce(float x, local float *scratch, int maximum) {
  const uint item = get_local_id(0);
#if EXCHANGE > 1
  _Pragma("unroll") for (uint step = 1; step < EXCHANGE; step *= 2) {
    const float other = exchange(x, step);
    x = maximum ? fmax(x, other) : x + other;
  }
#if GROUP_PARTS > 1
  float parts[GROUP_PARTS];
  barrier(CLK_LOCAL_MEM_FENCE);
  if (item % EXCHANGE == 0) scratch[item / EXCHANGE] = x;
  barrier(CLK_LOCAL_MEM_FENCE);
  _Pragma("unroll") for (uint i = 0; i < GROUP_PARTS; ++i) parts[i] = scratch[i];
  _Pragma("unroll") for (uint step = 1; step < GROUP_PARTS; step *= 2) {
    _Pragma("unroll") for (uint i = 0; i < GROUP_PARTS; i += 2 * step) {
      parts[i] = maximum ? fmax(parts[i], parts[i + step]) : parts[i] + parts[i + step];
    }
  }
  x = parts[0];
#endif
#else
  uint side = 0;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint step = 1; step < GROUP; step *= 2, side ^= GROUP) {
    scratch[side + item] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    const float other = scratch[side + (item ^ step)];
    x = maximum ? fmax(x, other) : x + other;
  }
#endif
  return x;
}
#endif
