// Compiled without contraction to FMA (-fmad=false) and with IEEE division (nvcc's default), so that codes are the CPU's.
// A tensor is read once and written once, 16 bytes at a time where it has one scale.
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "quant/kernels/gpu.h"

namespace qwt {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 132 * 16;  // enough to fill the largest GPUs; threads stride over the rest

int BlocksFor(int64_t items) {
  return static_cast<int>(std::max<int64_t>(1, std::min(kMostBlocks, (items + kThreads - 1) / kThreads)));
}

void CheckLaunch(const char* kernel) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(kernel) + " on the GPU: " + cudaGetErrorString(error));
  }
}

bool Aligned(const void* x, const void* y) {
  return (reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y)) % sizeof(float4) == 0;
}

__device__ inline float Uniform(float x, float scale, float zero_point, float top) {
  float code = rintf(x / scale) + zero_point;
  code = code < 0.0f ? 0.0f : code;  // not fmaxf, which would lose NaN
  code = code > top ? top : code;
  return (code - zero_point) * scale;
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
  float ratio = x / scale;
  ratio = ratio > floor ? ratio : floor;
  const int bits = __float_as_int(ratio), e = bits >> 23;
  int code = 2 * (127 - e) + (e == 0) - (bits >= first[e]) - (bits >= second[e]);
  code = code < 0 ? 0 : code;
  code = code < zero_code ? code : zero_code;
  return x != x ? x : values[code];
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
    const float power = ldexpf(scale, -((i + 1) / 2));
    values[i] = i >= zero_code ? 0.0f : i % 2 ? power * 1.41421356f : power;
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

__device__ inline double SquaredError(float x, float y) {
  const double error = static_cast<double>(x) - static_cast<double>(y);
  return error * error;
}

// Part blockIdx.x of channel blockIdx.y, whose values lie in runs of `inner`: threads' sums are added as a tree.
__global__ void SquaredErrorsOfRuns(const float* __restrict__ x, const float* __restrict__ y, int64_t outer,
                                    int64_t channels, int64_t inner, double* parts) {
  __shared__ double sums[kThreads];
  const int64_t n = outer * inner, c = blockIdx.y, step = gridDim.x * static_cast<int64_t>(kThreads);
  double sum = 0;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; i < n; i += step) {
    const int64_t at = outer == 1 ? c * inner + i : (i / inner * channels + c) * inner + i % inner;
    sum += SquaredError(x[at], y[at]);
  }
  sums[threadIdx.x] = sum;
  for (int width = kThreads / 2; width > 0; width /= 2) {
    __syncthreads();
    if (threadIdx.x < width) sums[threadIdx.x] += sums[threadIdx.x + width];
  }
  if (threadIdx.x == 0) parts[blockIdx.x * channels + c] = sums[0];
}

// Part blockIdx.y of the rows, a thread for each channel.
__global__ void SquaredErrorsOfColumns(const float* __restrict__ x, const float* __restrict__ y, int64_t rows,
                                       int64_t channels, double* parts) {
  const int64_t c = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (c >= channels) return;
  double sum = 0;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    sum += SquaredError(x[row * channels + c], y[row * channels + c]);
  }
  parts[blockIdx.y * channels + c] = sum;
}

}  // namespace

void UniformApplyOnGpu(const UniformArguments& a, const float* x, float* y, void* stream) {
  const int64_t n = a.outer * a.channels * a.inner;
  if (n == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  if (a.channels == 1) {
    const int64_t whole = Aligned(x, y) ? n / 4 : 0;
    UniformOfTensor<<<BlocksFor(whole > 0 ? whole : n), kThreads, 0, queue>>>(x, y, n, whole, a.scale, a.zero_point,
                                                                            a.top);
  } else {
    UniformOfChannels<<<BlocksFor(n), kThreads, 0, queue>>>(x, y, n, a.channels, a.inner, a.scale, a.zero_point,
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

int64_t SquaredErrorParts(int64_t outer, int64_t channels, int64_t inner) {
  if (inner > 1 || channels == 1) {
    return std::max<int64_t>(1, std::min(BlocksFor(outer * inner) / 4, static_cast<int>(kMostBlocks / channels)));
  }
  return std::max<int64_t>(1, std::min<int64_t>(outer, 1024));
}

void SquaredErrorsOnGpu(const float* x, const float* y, int64_t outer, int64_t channels, int64_t inner, double* parts,
                        void* stream) {
  if (channels == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  const auto count = static_cast<unsigned>(SquaredErrorParts(outer, channels, inner));
  if (inner > 1 || channels == 1) {
    const dim3 grid(count, static_cast<unsigned>(channels));
    SquaredErrorsOfRuns<<<grid, kThreads, 0, queue>>>(x, y, outer, channels, inner, parts);
  } else {
    const dim3 grid(static_cast<unsigned>((channels + kThreads - 1) / kThreads), count);
    SquaredErrorsOfColumns<<<grid, kThreads, 0, queue>>>(x, y, outer, channels, parts);
  }
  CheckLaunch("squared errors");
}

}  // namespace qwt
