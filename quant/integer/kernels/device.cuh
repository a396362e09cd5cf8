// What the kernels of this folder share.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "quant/integer/kernels/kernels.h"
#include "quant/kernels/launch.cuh"

namespace qwt {

inline unsigned BlocksFor(int64_t items, int64_t each) { return static_cast<unsigned>((items + each - 1) / each); }

enum class Output { kFloat, kCodes };  // of a product

// Adding 1.5 · 2^23 rounds half to even, and leaves the integer in the float's low bits: for |x| < 2^22.
constexpr float kRounder = 12582912.0f;

// Where codes begin and end among rounded steps, both with the rounder added.
struct CodeRange {
  float low, high;
  __device__ __forceinline__ explicit CodeRange(const Carrier& c) : low(kRounder - c.zero), high(low + c.top) {}
  __device__ __forceinline__ CodeRange(float low, float high) : low(low), high(high) {}
};
// clamp(round(steps) + zero, 0, top): the two floats' bits differ by as much as their integers.
__device__ __forceinline__ uint32_t CodeOf(float steps, const CodeRange& range) {
  return __float_as_uint(fminf(fmaxf(__fadd_rn(steps, kRounder), range.low), range.high)) - __float_as_uint(range.low);
}
// Not contracted: a value half way between two codes is one still, and rounds to the even step as the plain loops' does.
__device__ __forceinline__ float StepsOf(float x, const Carrier& c) { return __fmul_rn(x, c.inverse_scale); }
__device__ __forceinline__ uint32_t CarrierOf(float x, const Carrier& c) { return CodeOf(StepsOf(x, c), CodeRange(c)); }

// Codes side by side in bytes, the first the lowest.
__device__ __forceinline__ uint32_t Pack(uint32_t a, uint32_t b) { return a | b << 8; }
__device__ __forceinline__ uint32_t Pack(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return Pack(a, b) | Pack(c, d) << 16;
}

// The code in the low byte. share: of the largest code, `top`, clamped.
__device__ __forceinline__ uint32_t CodeOfShare(float share, float top) {
  return __float_as_uint(fmaf(share, top, kRounder));
}
__device__ __forceinline__ uint32_t LowBytes(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// x · Φ(x), Φ by Abramowitz and Stegun 7.1.26: 1.5e-7 from it, a thousandth of what a code of 8 bits tells apart.
__device__ __forceinline__ float Gelu(float x) {
  const float y = fabsf(x), w = y * 0.84932180f;  // w^2 = y^2 / 2 · log2 e
  float t;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(t) : "f"(fmaf(y, 0.3275911f * 0.70710678f, 1.0f)));
  float half_tail = fmaf(t, 0.5f * 1.061405429f, 0.5f * -1.453152027f);
  half_tail = fmaf(t, half_tail, 0.5f * 1.421413741f);
  half_tail = fmaf(t, half_tail, 0.5f * -0.284496736f);
  half_tail = fmaf(t, half_tail, 0.5f * 0.254829592f) * t * Exp2(-w * w);  // erfc(y / √2) / 2
  return fmaf(-y, half_tail, fmaxf(x, 0.0f));
}

template <Activation kActivation>
__device__ __forceinline__ float Activate(float x) {
  if (kActivation == Activation::kGelu) return Gelu(x);
  if (kActivation == Activation::kRelu) return fmaxf(x, 0.0f);
  return x;
}

// Index: of rows, and what is computed with; divisions of 32 bits are cheaper.
template <typename Index>
__device__ __forceinline__ int64_t Mapped(const RowMap& map, Index row) {
  if (map.of == nullptr) return row;
  const Index period = static_cast<Index>(map.period), of = row / period;
  return of * static_cast<Index>(map.span) + map.of[row - of * period];
}

// Of a row of a product's output.
template <typename Index>
__device__ __forceinline__ Index ResidualRow(const ProductArguments& p, Index row) {
  return p.residual_period > 0 ? row % static_cast<Index>(p.residual_period) : row;
}

__device__ __forceinline__ uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 bytes from global to shared memory; zeros where there is nothing to read.
__device__ __forceinline__ void CopyAsync(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0));
}
__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;"); }
template <int kLeft>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

__device__ __forceinline__ void LoadMatrices(uint32_t (&r)[4], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from));
}
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&r)[4], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from));
}

}  // namespace qwt
