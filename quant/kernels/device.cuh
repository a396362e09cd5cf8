// What the kernels share: walking over a run, and the two quantisers of one value. Compiled without
// contraction to FMA (-fmad=false) and with IEEE division (nvcc's default), so that codes are the CPU's.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "quant/kernels/launch.cuh"

namespace qwt {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 132 * 16;  // enough to fill the largest GPUs; threads stride over the rest

inline int64_t BlocksFor(int64_t items) {
  return std::max<int64_t>(1, std::min(kMostBlocks, (items + kThreads - 1) / kThreads));
}

// Of a run that gridDim.y blocks share, this thread's items are First(), First() + Step(), …
__device__ inline int64_t First() { return blockIdx.y * static_cast<int64_t>(kThreads) + threadIdx.x; }
__device__ inline int64_t Step() { return gridDim.y * static_cast<int64_t>(kThreads); }

// f(x[i], i) for this thread's share of a run's n values, 16 bytes at a time where x is aligned to them.
template <typename F>
__device__ inline void ForShare(const float* __restrict__ x, int64_t n, F f) {
  const int64_t first = First(), step = Step();
  const int64_t whole = reinterpret_cast<uintptr_t>(x) % sizeof(float4) == 0 ? n / 4 : 0;
  for (int64_t i = first; i < whole; i += step) {
    const float4 v = reinterpret_cast<const float4*>(x)[i];
    f(v.x, 4 * i);
    f(v.y, 4 * i + 1);
    f(v.z, 4 * i + 2);
    f(v.w, 4 * i + 3);
  }
  for (int64_t i = 4 * whole + first; i < n; i += step) f(x[i], i);
}

__device__ inline float Uniform(float x, float scale, float zero_point, float top) {
  float code = rintf(x / scale) + zero_point;
  code = code < 0.0f ? 0.0f : code;  // not fmaxf, which would lose NaN
  code = code > top ? top : code;
  return (code - zero_point) * scale;
}

// first, second: LogSqrt2Thresholds' in shared memory.
__device__ inline int LogSqrt2Code(const int* first, const int* second, float x, float scale, float floor,
                                   int zero_code) {
  float ratio = x / scale;
  ratio = ratio > floor ? ratio : floor;
  const int bits = __float_as_int(ratio), e = bits >> 23;
  int code = 2 * (127 - e) + (e == 0) - (bits >= first[e]) - (bits >= second[e]);
  code = code < 0 ? 0 : code;
  return code < zero_code ? code : zero_code;
}

__device__ inline float LogSqrt2Value(int code, float scale, int zero_code) {
  const float power = ldexpf(scale, -((code + 1) / 2));
  return code >= zero_code ? 0.0f : code % 2 ? power * 1.41421356f : power;
}

}  // namespace qwt
