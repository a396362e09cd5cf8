// Squared errors of several candidate scales: x is read once for up to four of them, and what it quantises to is never
// written. Sums are float64, each thread's and then the threads' as a tree, so the same bits every time.
#include "quant/kernels/device.cuh"
#include "quant/kernels/gpu.h"

namespace qwt {
namespace {

// A kind of candidates has Tables, which a block fills once, and OfChannel: x̂ of candidates first … first + kCount - 1
// in one channel.
struct Uniforms {
  const float *scales, *zero_points;  // [candidates, channels]
  int64_t channels;
  float top;

  struct Tables {};
  __device__ void Fill(Tables*) const {}

  template <int kCount>
  struct OfChannel {
    float scale[kCount], zero_point[kCount], top;

    __device__ OfChannel(const Uniforms& of, const Tables&, int64_t first, int64_t c) : top(of.top) {
      for (int j = 0; j < kCount; ++j) {
        scale[j] = of.scales[(first + j) * of.channels + c];
        zero_point[j] = of.zero_points[(first + j) * of.channels + c];
      }
    }
    __device__ float operator()(int j, float x, int64_t) const { return Uniform(x, scale[j], zero_point[j], top); }
  };
};

struct LogSqrt2s {
  const float* scales;  // [candidates, channels]
  int64_t channels;
  float floor;
  int zero_code;
  LogSqrt2Thresholds thresholds;

  using Tables = LogSqrt2Thresholds;
  __device__ void Fill(Tables* tables) const {
    for (int i = threadIdx.x; i < 256; i += kThreads) {
      tables->first[i] = thresholds.first[i];
      tables->second[i] = thresholds.second[i];
    }
  }

  template <int kCount>
  struct OfChannel {
    const Tables& tables;
    float scale[kCount], floor;
    int zero_code;

    __device__ OfChannel(const LogSqrt2s& of, const Tables& tables, int64_t first, int64_t c)
        : tables(tables), floor(of.floor), zero_code(of.zero_code) {
      for (int j = 0; j < kCount; ++j) scale[j] = of.scales[(first + j) * of.channels + c];
    }
    __device__ float operator()(int j, float x, int64_t) const {
      const int code = LogSqrt2Code(tables.first, tables.second, x, scale[j], floor, zero_code);
      return x != x ? x : LogSqrt2Value(code, scale[j], zero_code);
    }
  };
};

// One candidate, already applied.
struct Given {
  const float* y;

  struct Tables {};
  __device__ void Fill(Tables*) const {}

  template <int kCount>
  struct OfChannel {
    const float* y;
    __device__ OfChannel(const Given& of, const Tables&, int64_t, int64_t) : y(of.y) {}
    __device__ float operator()(int, float, int64_t at) const { return y[at]; }
  };
};

template <int kCount, typename Quantized>
__device__ inline void AddErrors(const Quantized& quantized, float x, int64_t at, double (&sums)[kCount]) {
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const double error = static_cast<double>(x) - static_cast<double>(quantized(j, x, at));
    sums[j] += error * error;
  }
}

// Part blockIdx.y of channel blockIdx.x, whose values lie in runs of `inner`.
template <int kCount, typename Kind>
__global__ void ErrorsOfRuns(const float* __restrict__ x, int64_t outer, int64_t channels, int64_t inner,
                             const __grid_constant__ Kind kind, int64_t first, int64_t candidates, double* parts) {
  __shared__ typename Kind::Tables tables;
  __shared__ double shared[kCount][kThreads];
  kind.Fill(&tables);
  __syncthreads();
  const int64_t c = blockIdx.x;
  const typename Kind::template OfChannel<kCount> quantized(kind, tables, first, c);
  double sums[kCount] = {};
  if (outer == 1) {
    ForShare(x + c * inner, inner, [&](float v, int64_t i) { AddErrors(quantized, v, c * inner + i, sums); });
  } else {
    for (int64_t i = First(); i < outer * inner; i += Step()) {
      const int64_t at = (i / inner * channels + c) * inner + i % inner;
      AddErrors(quantized, x[at], at, sums);
    }
  }
  for (int j = 0; j < kCount; ++j) shared[j][threadIdx.x] = sums[j];
  for (int width = kThreads / 2; width > 0; width /= 2) {
    __syncthreads();
    if (threadIdx.x >= width) continue;
    for (int j = 0; j < kCount; ++j) shared[j][threadIdx.x] += shared[j][threadIdx.x + width];
  }
  if (threadIdx.x > 0) return;
  for (int j = 0; j < kCount; ++j) parts[(blockIdx.y * candidates + first + j) * channels + c] = shared[j][0];
}

// Part blockIdx.y of the rows, a thread for each channel.
template <int kCount, typename Kind>
__global__ void ErrorsOfColumns(const float* __restrict__ x, int64_t rows, int64_t channels,
                                const __grid_constant__ Kind kind, int64_t first, int64_t candidates, double* parts) {
  __shared__ typename Kind::Tables tables;
  kind.Fill(&tables);
  __syncthreads();
  const int64_t c = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (c >= channels) return;
  const typename Kind::template OfChannel<kCount> quantized(kind, tables, first, c);
  double sums[kCount] = {};
#pragma unroll 4
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    AddErrors(quantized, x[row * channels + c], row * channels + c, sums);
  }
  for (int j = 0; j < kCount; ++j) parts[(blockIdx.y * candidates + first + j) * channels + c] = sums[j];
}

bool InRuns(const ErrorLayout& layout) { return layout.inner > 1 || layout.channels == 1; }

template <int kCount, typename Kind>
void Launch(const Kind& kind, const ErrorLayout& of, int64_t first, const float* x, double* parts,
            cudaStream_t stream) {
  const auto count = static_cast<unsigned>(ErrorParts(of));
  if (InRuns(of)) {
    // A tensor of one channel is one run.
    const int64_t outer = of.channels == 1 ? 1 : of.outer, inner = of.channels == 1 ? of.outer * of.inner : of.inner;
    const dim3 grid(static_cast<unsigned>(of.channels), count);
    ErrorsOfRuns<kCount>
        <<<grid, kThreads, 0, stream>>>(x, outer, of.channels, inner, kind, first, of.candidates, parts);
  } else {
    const dim3 grid(static_cast<unsigned>((of.channels + kThreads - 1) / kThreads), count);
    ErrorsOfColumns<kCount>
        <<<grid, kThreads, 0, stream>>>(x, of.outer, of.channels, kind, first, of.candidates, parts);
  }
  CheckLaunch("squared errors");
}

template <typename Kind>
void LaunchAll(const Kind& kind, const ErrorLayout& of, const float* x, double* parts, void* stream) {
  const auto queue = static_cast<cudaStream_t>(stream);
  for (int64_t first = 0; first < of.candidates; first += 4) {
    switch (std::min<int64_t>(4, of.candidates - first)) {
      case 1:
        Launch<1>(kind, of, first, x, parts, queue);
        break;
      case 2:
        Launch<2>(kind, of, first, x, parts, queue);
        break;
      case 3:
        Launch<3>(kind, of, first, x, parts, queue);
        break;
      default:
        Launch<4>(kind, of, first, x, parts, queue);
    }
  }
}

}  // namespace

int64_t ErrorParts(const ErrorLayout& of) {
  if (of.channels == 0) return 1;
  constexpr int64_t kResident = kMostBlocks / 2;
  if (InRuns(of)) return std::max<int64_t>(1, std::min(BlocksFor(of.outer * of.inner) / 2, kResident / of.channels));
  return std::max<int64_t>(1, std::min(of.outer, kResident / ((of.channels + kThreads - 1) / kThreads)));
}

void UniformErrorsOnGpu(const UniformArguments& a, int64_t candidates, const float* x, double* parts, void* stream) {
  if (a.channels == 0) return;
  LaunchAll(Uniforms{a.scale, a.zero_point, a.channels, a.top}, {candidates, a.outer, a.channels, a.inner}, x, parts,
            stream);
}

void LogSqrt2ErrorsOnGpu(const LogSqrt2Arguments& a, int64_t candidates, const float* x, double* parts, void* stream) {
  if (a.channels == 0) return;
  LaunchAll(LogSqrt2s{a.scale, a.channels, a.floor, a.zero_code, GetLogSqrt2Thresholds()},
            {candidates, a.outer, a.channels, a.inner}, x, parts, stream);
}

void SquaredErrorsOnGpu(const float* x, const float* y, int64_t outer, int64_t channels, int64_t inner, double* parts,
                        void* stream) {
  if (channels == 0) return;
  Launch<1>(Given{y}, {1, outer, channels, inner}, 0, x, parts, static_cast<cudaStream_t>(stream));
}

}  // namespace qwt
