// Quantisation of float tensors to carriers: bound by memory, each value read once.
#include <cuda_fp16.h>

#include "quant/integer/kernels/device.cuh"

namespace qwt {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ uint32_t CarriersOf(float4 x, const Carrier& c) {
  return Pack(CarrierOf(x.x, c), CarrierOf(x.y, c), CarrierOf(x.z, c), CarrierOf(x.w, c));
}

template <Activation kActivation>
__global__ void Quantize(QuantizeArguments p) {
  const int64_t quads = (p.columns + 3) / 4, i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (i >= p.rows * quads) return;
  const int64_t row = i / quads, column = i % quads * 4;
  const float* x = p.x + row * p.columns + column;
  uint8_t* out = p.out + row * p.pitch + column;
  if (p.columns % 4 == 0) {
    const float4 v = *reinterpret_cast<const float4*>(x);
    *reinterpret_cast<uint32_t*>(out) = CarriersOf(
        make_float4(Activate<kActivation>(v.x), Activate<kActivation>(v.y), Activate<kActivation>(v.z), Activate<kActivation>(v.w)),
        p.carrier);
    return;
  }
  for (int j = 0; j < 4 && column + j < p.columns; ++j) {
    out[j] = static_cast<uint8_t>(CarrierOf(Activate<kActivation>(x[j]), p.carrier));
  }
}

__device__ __forceinline__ float WarpSum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

// A carrier's constants, for values' rounded steps with the rounder added.
struct Rounded {
  float inverse_scale, first, share, top, low, high;

  __device__ __forceinline__ explicit Rounded(const Carrier& c)
      : inverse_scale(c.inverse_scale),
        first(kRounder - c.zero),
        share(1 / c.top),
        top(c.top),
        low(first + c.low),
        high(first + c.high) {}
  __device__ __forceinline__ float Of(float x) const { return __fadd_rn(__fmul_rn(x, inverse_scale), kRounder); }
  // The code in the low byte. Clamping its share of the largest code is what a multiplication does for nothing.
  __device__ __forceinline__ uint32_t Code(float rounded) const {
    return CodeOfShare(__saturatef((rounded - first) * share), top);
  }
  __device__ __forceinline__ uint32_t Codes(const float (&x)[4]) const {
    return LowBytes(Code(x[0]), Code(x[1]), Code(x[2]), Code(x[3]));
  }
  __device__ __forceinline__ uint32_t IsEnd(float rounded) const { return rounded <= low || rounded >= high; }
};

__device__ __forceinline__ uint2 HalvesOf(float4 x) {
  const __half2 low = __floats2half2_rn(x.x, x.y), high = __floats2half2_rn(x.z, x.w);
  return {reinterpret_cast<const uint32_t&>(low), reinterpret_cast<const uint32_t&>(high)};
}

// A warp a row, which it keeps in kVectors registers of four values a lane.
template <int kVectors>
__global__ void __launch_bounds__(kThreads) NormQuantize(NormQuantizeArguments p) {
  const int lane = threadIdx.x % 32;
  const uint32_t row = blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
  if (row >= p.rows) return;
  const int64_t from = Mapped(p.map, row) * p.columns;
  const float4* x = reinterpret_cast<const float4*>(p.x + from);
  const int quads = static_cast<int>(p.columns / 4);
  float4 v[kVectors];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int quad = i * 32 + lane;
    v[i] = quad < quads ? x[quad] : make_float4(0, 0, 0, 0);
    sum += (v[i].x + v[i].y) + (v[i].z + v[i].w);
  }
  if (p.half != nullptr) {  // once all loads are on their way
    uint2* half = reinterpret_cast<uint2*>(static_cast<__half*>(p.half) + from);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (i * 32 + lane < quads) half[i * 32 + lane] = HalvesOf(v[i]);
    }
  }
  const float one = 1.0f / static_cast<float>(4 * quads), mean = WarpSum(sum) * one;
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (i * 32 + lane >= quads) continue;
    v[i] = make_float4(v[i].x - mean, v[i].y - mean, v[i].z - mean, v[i].w - mean);
    squares += (v[i].x * v[i].x + v[i].y * v[i].y) + (v[i].z * v[i].z + v[i].w * v[i].w);
  }
  const float inverse = rsqrtf(fmaf(WarpSum(squares), one, p.epsilon));
  uint32_t* out = reinterpret_cast<uint32_t*>(p.out + row * p.pitch);
  const Rounded rounded(p.carrier);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (i * 32 >= quads) break;
    const int quad = i * 32 + lane;
    const bool there = quad < quads;
    uint32_t ends = 0;
    if (there) {
      const float4 w = reinterpret_cast<const float4*>(p.weight)[quad], b = reinterpret_cast<const float4*>(p.bias)[quad];
      const float x[4] = {rounded.Of(v[i].x * inverse * w.x + b.x), rounded.Of(v[i].y * inverse * w.y + b.y),
                          rounded.Of(v[i].z * inverse * w.z + b.z), rounded.Of(v[i].w * inverse * w.w + b.w)};
      out[quad] = rounded.Codes(x);
      ends = rounded.IsEnd(x[0]) | rounded.IsEnd(x[1]) << 8 | rounded.IsEnd(x[2]) << 16 | rounded.IsEnd(x[3]) << 24;
    }
    if (p.ends_offset == 0) continue;
    ends <<= lane / 4;  // a word for eight lanes
#pragma unroll
    for (int step = 4; step < 32; step *= 2) ends |= __shfl_xor_sync(~0u, ends, step);
    if (lane < 4) out[p.ends_offset / 4 + i * 4 + lane] = ends;
  }
}

// A thread four columns of a patch, which may lie in several of its lines.
__global__ void PatchQuantize(PatchQuantizeArguments p) {
  const int depth = static_cast<int>(p.channels * p.kernel * p.kernel), kernel = static_cast<int>(p.kernel);
  const int quads = (depth + 3) / 4;
  const int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (i >= p.images * p.out_height * p.out_width * quads) return;
  const auto row = static_cast<uint32_t>(i / quads);  // 32 bits: divisions cost
  const int column = static_cast<int>(i - static_cast<int64_t>(row) * quads) * 4;
  const uint32_t positions = static_cast<uint32_t>(p.out_height * p.out_width), image = row / positions;
  const int position = static_cast<int>(row - image * positions);
  const int top = position / static_cast<int>(p.out_width) * static_cast<int>(p.stride) - static_cast<int>(p.padding);
  const int left = position % static_cast<int>(p.out_width) * static_cast<int>(p.stride) - static_cast<int>(p.padding);
  uint32_t packed = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int k = column + j, channel = k / (kernel * kernel), y = top + k / kernel % kernel, x = left + k % kernel;
    if (k >= depth) break;
    const bool inside = y >= 0 && y < p.height && x >= 0 && x < p.width;
    const float value = inside ? p.x[((static_cast<int64_t>(image) * p.channels + channel) * p.height + y) * p.width + x] : 0.0f;
    packed |= CarrierOf(value, p.carrier) << (8 * j);
  }
  *reinterpret_cast<uint32_t*>(p.out + static_cast<int64_t>(row) * p.pitch + column) = packed;  // pitch: a whole number of them
}

// Patches whose columns lie four by four in one line, aligned: a thread the same four of kPatches neighbours, whose place
// in the patch it finds once.
constexpr int kPatches = 4;
bool LiesInLines(const PatchQuantizeArguments& p) {
  return p.kernel % 4 == 0 && p.stride % 4 == 0 && p.padding == 0 && p.width % 4 == 0;
}
__global__ void PatchLinesQuantize(PatchQuantizeArguments p) {
  const int kernel = static_cast<int>(p.kernel), width = static_cast<int>(p.width), quads = static_cast<int>(p.channels) * kernel * kernel / 4;
  const int out_width = static_cast<int>(p.out_width), out_height = static_cast<int>(p.out_height);
  const int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  const auto group = static_cast<uint32_t>(i / quads), rows = static_cast<uint32_t>(p.images * out_height * out_width);
  const int column = static_cast<int>(i - static_cast<int64_t>(group) * quads) * 4;
  const uint32_t first = group * kPatches, line = first / out_width;
  int x = static_cast<int>(first - line * out_width), y = static_cast<int>(line % out_height);
  const int64_t plane = p.height * width, image_size = p.channels * plane;
  const float* image = p.x + line / out_height * image_size + column / (kernel * kernel) * plane + column / kernel % kernel * width + column % kernel;
  float4 v[kPatches];
#pragma unroll
  for (int j = 0; j < kPatches; ++j) {
    if (first + j < rows) v[j] = *reinterpret_cast<const float4*>(image + (y * width + x) * static_cast<int>(p.stride));
    if (++x < out_width) continue;
    x = 0;
    if (++y < out_height) continue;
    y = 0;
    image += image_size;
  }
#pragma unroll
  for (int j = 0; j < kPatches; ++j) {
    if (first + j >= rows) break;
    *reinterpret_cast<uint32_t*>(p.out + static_cast<int64_t>(first + j) * p.pitch + column) = CarriersOf(v[j], p.carrier);
  }
}

template <int kVectors>
void LaunchNorm(const NormQuantizeArguments& p, cudaStream_t stream) {
  NormQuantize<kVectors><<<BlocksFor(p.rows, kThreads / 32), kThreads, 0, stream>>>(p);
}

}  // namespace

void QuantizeOnGpu(const QuantizeArguments& p, void* stream) {
  const int64_t items = p.rows * ((p.columns + 3) / 4);
  if (items == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  const unsigned blocks = BlocksFor(items, kThreads);
  if (p.activation == Activation::kNone) Quantize<Activation::kNone><<<blocks, kThreads, 0, queue>>>(p);
  if (p.activation == Activation::kGelu) Quantize<Activation::kGelu><<<blocks, kThreads, 0, queue>>>(p);
  if (p.activation == Activation::kRelu) Quantize<Activation::kRelu><<<blocks, kThreads, 0, queue>>>(p);
  CheckLaunch("quantisation");
}

void NormQuantizeOnGpu(const NormQuantizeArguments& p, void* stream) {
  if (p.rows == 0) return;
  if (p.columns % 4 != 0 || p.columns > 4096) throw std::runtime_error("LayerNorm on the GPU: too many channels");
  const auto queue = static_cast<cudaStream_t>(stream);
  const int64_t vectors = (p.columns + 127) / 128;
  if (vectors <= 1) LaunchNorm<1>(p, queue);
  else if (vectors <= 2) LaunchNorm<2>(p, queue);
  else if (vectors <= 3) LaunchNorm<3>(p, queue);
  else if (vectors <= 6) LaunchNorm<6>(p, queue);
  else if (vectors <= 12) LaunchNorm<12>(p, queue);
  else LaunchNorm<32>(p, queue);
  CheckLaunch("LayerNorm");
}

void PatchQuantizeOnGpu(const PatchQuantizeArguments& p, void* stream) {
  const int64_t rows = p.images * p.out_height * p.out_width, quads = (p.channels * p.kernel * p.kernel + 3) / 4;
  if (rows == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  if (LiesInLines(p)) {
    PatchLinesQuantize<<<BlocksFor((rows + kPatches - 1) / kPatches * quads, kThreads), kThreads, 0, queue>>>(p);
  } else {
    PatchQuantize<<<BlocksFor(rows * quads, kThreads), kThreads, 0, queue>>>(p);
  }
  CheckLaunch("quantisation of patches");
}

}  // namespace qwt
