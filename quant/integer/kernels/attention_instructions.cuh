// The matrix units' instructions that attention uses, and how two softmax codes at once become powers of 2.
#pragma once

#include "quant/integer/kernels/device.cuh"

namespace qwt {
namespace {

// d [16 x 8], int32 += a [16 x 32] · b [32 x 8], uint8.
__device__ __forceinline__ void MultiplyCodes(uint32_t (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d [16 x 8], float32 += a [16 x 16] · b [16 x 8], bfloat16.
__device__ __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// The same of eight keys: a [16 x 8] · b [8 x 8].
__device__ __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[2], uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b));
}

// Four words for a thread each, 16 bytes of a multiple of 16.
__device__ __forceinline__ void LoadWords(uint32_t (&r)[4], uint32_t from) {
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from));
}

// The thread's place in its warp and the warp's in its block, read anew: what depends on it is not kept where registers
// are few.
__device__ __forceinline__ uint32_t ReadLane() {
  uint32_t lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}
__device__ __forceinline__ int ReadWarp() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread / 32;
}

// x, of which the compiler knows nothing: what is computed of it is computed where it is needed, for the same reason.
__device__ __forceinline__ int Anew(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// x · y + z, clamped to [0, 1]. NaN becomes 0.
__device__ __forceinline__ float SaturatedFma(float x, float y, float z) {
  float d;
  asm("fma.rn.sat.f32 %0, %1, %2, %3;" : "=f"(d) : "f"(x), "f"(y), "f"(z));
  return d;
}

// Two floats as bfloat16, the first in the low half.
__device__ __forceinline__ uint32_t Halves(float first, float second) {
  uint32_t d;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(second), "f"(first));
  return d;
}

// All bits of each half that is above y's, both at most 0x7c00: as float16 they have the order of their bits.
__device__ __forceinline__ uint32_t HalvesAbove(uint32_t x, uint32_t y) {
  uint32_t mask;
  asm("set.gt.u32.f16x2 %0, %1, %2;" : "=r"(mask) : "r"(x), "r"(y));
  return mask;
}

__device__ __forceinline__ int32_t Largest(int32_t a, int32_t b, int32_t c) { return __vimax3_s32(a, b, c); }

}  // namespace
}  // namespace qwt
