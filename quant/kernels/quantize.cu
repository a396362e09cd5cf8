// The two quantisers: a tensor is read once and written once, 16 bytes at a time where it has one scale.
#include "quant/kernels/device.cuh"
#include "quant/kernels/gpu.h"

namespace qwt {
namespace {

unsigned GridFor(int64_t items) { return static_cast<unsigned>(BlocksFor(items)); }

bool Aligned(const void* x, const void* y) {
  return (reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y)) % sizeof(float4) == 0;
}

// One scale for n values; `whole` of them are n / 4 where x and y are aligned, else 0.
__global__ void UniformOfTensor(const float* __restrict__ x, float* __restrict__ y, int64_t n, int64_t whole,
                                const float* scale_of, const float* zero_point_of, float top) {
  const float scale = *scale_of, zero_point = *zero_point_of;
  const int64_t first = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  const int64_t step = gridDim.x * static_cast<int64_t>(kThreads);
  for (int64_t i = first; i < whole; i += step) {
    float4 v = reinterpret_cast<const float4*>(x)[i];
    v.x = Uniform(v.x, scale, zero_point, top);
    v.y = Uniform(v.y, scale, zero_point, top);
    v.z = Uniform(v.z, scale, zero_point, top);
    v.w = Uniform(v.w, scale, zero_point, top);
    reinterpret_cast<float4*>(y)[i] = v;
  }
  for (int64_t i = 4 * whole + first; i < n; i += step) y[i] = Uniform(x[i], scale, zero_point, top);
}

__global__ void UniformOfChannels(const float* __restrict__ x, float* __restrict__ y, int64_t n, int64_t channels,
                                  int64_t inner, const float* scale, const float* zero_point, float top) {
  const int64_t step = gridDim.x * static_cast<int64_t>(kThreads);
  for (int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; i < n; i += step) {
    const int64_t c = i / inner % channels;
    y[i] = Uniform(x[i], scale[c], zero_point[c], top);
  }
}

__device__ inline float LogSqrt2(const int* first, const int* second, const float* values, float x, float scale,
                                 float floor, int zero_code) {
  return x != x ? x : values[LogSqrt2Code(first, second, x, scale, floor, zero_code)];
}

// A block works on channel blockIdx.y. `vectors`: whether the tensor is one channel, aligned.
__global__ void LogSqrt2OfChannels(const float* __restrict__ x, float* __restrict__ y, int64_t outer, int64_t channels,
                                   int64_t inner, bool vectors, const float* scale_of, float floor, int zero_code,
                                   const __grid_constant__ LogSqrt2Thresholds thresholds) {
  __shared__ int first[256], second[256];
  __shared__ float values[256];
  const int64_t c = blockIdx.y;
  const float scale = scale_of[c];
  for (int i = threadIdx.x; i < 256; i += kThreads) {
    first[i] = thresholds.first[i];
    second[i] = thresholds.second[i];
    values[i] = LogSqrt2Value(i, scale, zero_code);
  }
  __syncthreads();
  const int64_t n = outer * inner, start = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  const int64_t step = gridDim.x * static_cast<int64_t>(kThreads), whole = vectors ? n / 4 : 0;
  for (int64_t i = start; i < whole; i += step) {
    float4 v = reinterpret_cast<const float4*>(x)[i];
    v.x = LogSqrt2(first, second, values, v.x, scale, floor, zero_code);
    v.y = LogSqrt2(first, second, values, v.y, scale, floor, zero_code);
    v.z = LogSqrt2(first, second, values, v.z, scale, floor, zero_code);
    v.w = LogSqrt2(first, second, values, v.w, scale, floor, zero_code);
    reinterpret_cast<float4*>(y)[i] = v;
  }
  for (int64_t i = 4 * whole + start; i < n; i += step) {
    const int64_t at = (i / inner * channels + c) * inner + i % inner;
    y[at] = LogSqrt2(first, second, values, x[at], scale, floor, zero_code);
  }
}

}  // namespace

void UniformApplyOnGpu(const UniformArguments& a, const float* x, float* y, void* stream) {
  const int64_t n = a.outer * a.channels * a.inner;
  if (n == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  if (a.channels == 1) {
    const int64_t whole = Aligned(x, y) ? n / 4 : 0;
    UniformOfTensor<<<GridFor(whole > 0 ? whole : n), kThreads, 0, queue>>>(x, y, n, whole, a.scale, a.zero_point,
                                                                            a.top);
  } else {
    UniformOfChannels<<<GridFor(n), kThreads, 0, queue>>>(x, y, n, a.channels, a.inner, a.scale, a.zero_point,
                                                            a.top);
  }
  CheckLaunch("uniform quantiser");
}

void LogSqrt2ApplyOnGpu(const LogSqrt2Arguments& a, const float* x, float* y, void* stream) {
  const int64_t n = a.outer * a.inner;
  if (n == 0 || a.channels == 0) return;
  const bool vectors = a.channels == 1 && Aligned(x, y);
  const int64_t blocks = std::max<int64_t>(1, BlocksFor(vectors ? n / 4 : n) / a.channels);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(a.channels));
  LogSqrt2OfChannels<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      x, y, a.outer, a.channels, a.inner, vectors, a.scale, a.floor, a.zero_code, GetLogSqrt2Thresholds());
  CheckLaunch("log_sqrt2 quantiser");
}

}  // namespace qwt
