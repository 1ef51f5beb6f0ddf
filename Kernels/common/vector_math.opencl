// A vector type of VEC floats and the functions that the row kernels share.
//
// VEC is 16 on CPU-class devices (one AVX-512 register) and 1 on GPU-class devices; GROUP is the number of
// work-items that share a row: 1 on CPU-class devices, where no barrier is compiled in.
// The exponential is a polynomial of its own, so that both classes round alike (2 ulp; see Cephes expf).

#ifndef VEC
#define VEC 1
#endif
#ifndef GROUP
#define GROUP 64
#endif

#if VEC == 16
typedef float16 real;
typedef int16 integer;
#define to_integer(x) convert_int16(x)
#define as_real(x) as_float16(x)
#define as_integer(x) as_int16(x)
#define splat(x) ((float16)(x))
#else
typedef float real;
typedef int integer;
#define to_integer(x) convert_int(x)
#define as_real(x) as_float(x)
#define as_integer(x) as_int(x)
#define splat(x) (x)
#endif

real load_real(global const float *p, uint count) {
#if VEC == 1
  return p[0];
#else
  if (count >= VEC) return vload16(0, p);
  float values[VEC];
  for (uint i = 0; i < VEC; ++i) values[i] = i < count ? p[i] : 0.0f;
  return vload16(0, values);
#endif
}

void store_real(real x, global float *p, uint count) {
#if VEC == 1
  p[0] = x;
#else
  if (count >= VEC) {
    vstore16(x, 0, p);
  } else {
    float values[VEC];
    vstore16(x, 0, values);
    for (uint i = 0; i < count; ++i) p[i] = values[i];
  }
#endif
}

// x in lanes below count, `other` in the rest.
real keep_lanes(real x, uint count, float other) {
#if VEC == 1
  return x;
#else
  const integer lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return select(splat(other), x, lane < (int16)((int)count));
#endif
}

float sum_lanes(real x) {
#if VEC == 1
  return x;
#else
  const float8 a = x.lo + x.hi;
  const float4 b = a.lo + a.hi;
  const float2 c = b.lo + b.hi;
  return c.x + c.y;
#endif
}

float max_lanes(real x) {
#if VEC == 1
  return x;
#else
  const float8 a = fmax(x.lo, x.hi);
  const float4 b = fmax(a.lo, a.hi);
  const float2 c = fmax(b.lo, b.hi);
  return fmax(c.x, c.y);
#endif
}

// e^x over the whole range of floats; a NaN stays one.
real exp_real(real x) {
  real bounded = select(x, splat(-110.0f), x < splat(-110.0f));
  bounded = select(bounded, splat(110.0f), bounded > splat(110.0f));
  const real n = rint(bounded * splat(1.44269504088896341f));
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
  const integer whole = to_integer(n), part = whole >> 1;
  return p * as_real((part + 127) << 23) * as_real((whole - part + 127) << 23);
}

#if GROUP == 1
#define GROUP_LOCAL(name)
#define GROUP_SUM(x, name) (x)
#define GROUP_MAX(x, name) (x)
#define GROUP_ITEM 0u
#else
#define GROUP_LOCAL(name) local float name[GROUP]
#define GROUP_SUM(x, name) group_reduce(x, name, 0)
#define GROUP_MAX(x, name) group_reduce(x, name, 1)
#define GROUP_ITEM ((uint)get_local_id(0))
float group_reduce(float x, local float *scratch, int maximum) {
  const uint item = get_local_id(0);
  barrier(CLK_LOCAL_MEM_FENCE);
  scratch[item] = x;
  for (uint step = GROUP / 2; step > 0; step /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item < step) {
      scratch[item] =
          maximum ? fmax(scratch[item], scratch[item + step]) : scratch[item] + scratch[item + step];
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  return scratch[0];
}
#endif
