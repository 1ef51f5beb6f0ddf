// Conversions between vectors of sixteen that CPU-class compilers turn into single instructions.
//
// OpenCL's own convert_* functions are split into scalars by some compilers, so clang's conversion is used where
// it is there. half_lanes widens sixteen halfs (as bits) exactly, subnormals included; infinity becomes 65536 unless
// the compiler or the processor knows halfs (HALF_ARITHMETIC, F16C), which then converts them in one instruction.

#if defined(__clang__) && defined(__has_builtin)
#if __has_builtin(__builtin_convertvector)
#define LANES_CONVERT 1
#endif
#endif

#ifdef LANES_CONVERT
#define lanes_from_uchar(x) __builtin_convertvector(x, int16)
#define lanes_from_char(x) __builtin_convertvector(x, int16)
#define lanes_from_ushort(x) __builtin_convertvector(x, uint16)
#define lanes_float(x) __builtin_convertvector(x, float16)
#else
#define lanes_from_uchar(x) convert_int16(x)
#define lanes_from_char(x) convert_int16(x)
#define lanes_from_ushort(x) convert_uint16(x)
#define lanes_float(x) convert_float16(x)
#endif

// Clang's halfs are converted by F16C where the target has it, else by calls that may not be there.
#if defined(LANES_CONVERT) && defined(__F16C__)
#define LANES_HALF 1
typedef __fp16 half_lanes_bits __attribute__((ext_vector_type(16)));
#endif

#ifndef HALF_ARITHMETIC
#define HALF_ARITHMETIC 0
#endif
#if HALF_ARITHMETIC
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif

float16 half_lanes(ushort16 bits) {
#if HALF_ARITHMETIC
  return convert_float16(as_half16(bits));
#elif defined(LANES_HALF)
  return __builtin_convertvector(__builtin_astype(bits, half_lanes_bits), float16);
#else
  const uint16 wide = lanes_from_ushort(bits);
  const float16 magnitude = as_float16((wide & 0x7fffu) << 13) * (float16)(0x1.0p+112f);
  return as_float16(as_uint16(magnitude) | ((wide & 0x8000u) << 16));
#endif
}

#define LANE_INDEX (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
