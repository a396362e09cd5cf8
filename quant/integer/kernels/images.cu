// Images between convolutions: bound by memory, each value read once, or from a cache.
#include <cmath>

#include "quant/integer/kernels/device.cuh"

namespace qwt {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ int64_t Item() { return blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; }

// A thread four channels of a pixel; neighbouring threads neighbouring pixels, as the channels lie.
__global__ void PixelQuantize(PixelQuantizeArguments p) {
  const int64_t i = Item();
  if (i >= p.images * p.positions) return;
  const int64_t image = i / p.positions;
  const float* x = p.x + image * (p.channels - 1) * p.positions + i;  // channel 0 of pixel i
  for (int64_t first = blockIdx.y * 4; first < p.pitch; first += gridDim.y * 4) {
    uint32_t codes = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (first + j < p.channels) codes |= CarrierOf(x[(first + j) * p.positions], p.carrier) << (8 * j);
    }
    *reinterpret_cast<uint32_t*>(p.out + i * p.pitch + first) = codes;
  }
}

__device__ __forceinline__ float Larger(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ float4 Larger(float4 a, float4 b) {
  return make_float4(fmaxf(a.x, b.x), fmaxf(a.y, b.y), fmaxf(a.z, b.z), fmaxf(a.w, b.w));
}
__device__ __forceinline__ void Fill(float* x, float value) { *x = value; }
__device__ __forceinline__ void Fill(float4* x, float value) { *x = make_float4(value, value, value, value); }

// A thread one or four channels, T, of an output pixel. channels: in T.
template <typename T>
__global__ void MaxPool(PixelWindows w, int channels, const T* x, T* out) {
  const int64_t i = Item();
  if (i >= w.images * w.out_height * w.out_width * channels) return;
  const auto m = static_cast<uint32_t>(i / channels), positions = static_cast<uint32_t>(w.out_height * w.out_width);
  const int channel = static_cast<int>(i - static_cast<int64_t>(m) * channels);
  const uint32_t image = m / positions, position = m - image * positions, line = position / static_cast<uint32_t>(w.out_width);
  const int top = static_cast<int>(line * w.stride - w.padding);
  const int left = static_cast<int>((position - line * w.out_width) * w.stride - w.padding);
  T most;
  Fill(&most, -INFINITY);
  for (int y = max(top, 0); y < min(top + static_cast<int>(w.kernel), static_cast<int>(w.height)); ++y) {
    for (int column = max(left, 0); column < min(left + static_cast<int>(w.kernel), static_cast<int>(w.width)); ++column) {
      most = Larger(most, x[((image * w.height + y) * w.width + column) * channels + channel]);
    }
  }
  out[i] = most;
}

template <typename T>
void LaunchMaxPool(const MaxPoolArguments& p, cudaStream_t stream) {
  const int channels = static_cast<int>(p.channels * sizeof(float) / sizeof(T));
  const int64_t items = p.windows.images * p.windows.out_height * p.windows.out_width * channels;
  if (items == 0) return;
  MaxPool<T><<<BlocksFor(items, kThreads), kThreads, 0, stream>>>(p.windows, channels, reinterpret_cast<const T*>(p.x),
                                                        reinterpret_cast<T*>(p.out));
}

}  // namespace

void PixelQuantizeOnGpu(const PixelQuantizeArguments& p, void* stream) {
  const int64_t pixels = p.images * p.positions;
  if (pixels == 0) return;
  const dim3 blocks(BlocksFor(pixels, kThreads), static_cast<unsigned>(p.pitch / 4));
  PixelQuantize<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(p);
  CheckLaunch("quantisation of images");
}

void MaxPoolOnGpu(const MaxPoolArguments& p, void* stream) {
  const auto queue = static_cast<cudaStream_t>(stream);
  p.channels % 4 == 0 ? LaunchMaxPool<float4>(p, queue) : LaunchMaxPool<float>(p, queue);
  CheckLaunch("maximum pooling");
}

}  // namespace qwt
