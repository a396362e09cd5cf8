// Attention of one head over one window or image in one block.
//
// Scores are exact sums of products of codes: Σ (q - zq) k, to which what a row's scores have in common is added where
// biases need it. Codes of values less their zero points are whole numbers of 8 bits and a sign, which bfloat16 holds,
// and so are powers of 2 and 1.5 of them: products are exact, sums are float32's.
#include "quant/integer/kernels/attention_rows.cuh"

namespace qwt {
namespace {

// Sixteen queries are a warp's at a time. A multiprocessor has as many blocks as registers allow, which hold all scores.
template <int kTiles>
constexpr int kWarps = kTiles <= 8    ? (kTiles + 1) / 2
                       : kTiles <= 25 ? (kTiles + 3) / 4
                                      : 6;
template <int kTiles, bool kBiased>
constexpr int kBlocks = kTiles <= 8    ? 4
                        : kBiased      ? 1
                        : kTiles <= 18 ? 3
                                       : 2;

// A block has head blockIdx.x of one window or, where biases stay in registers, of every gridDim.y-th, which have the
// same mask: gridDim.y is a multiple of masks.
template <int kTiles, int kWidth, bool kLogSqrt2, bool kBiased>
__global__ void __launch_bounds__(32 * kWarps<kTiles>, kBlocks<kTiles, kBiased>)
    Attention(const __grid_constant__ AttentionArguments p, const __grid_constant__ AttentionConstants c) {
  extern __shared__ __align__(128) char shared[];
  const int head = static_cast<int>(blockIdx.x);
  using R = Rows<kTiles, kWidth, kLogSqrt2, kBiased>;
  const typename R::Tile tile{
      shared,   static_cast<uint32_t>(c.tokens), static_cast<uint32_t>(c.head_width), static_cast<int>(p.query_zero),
      c.origin, 8388608.0f + p.value_zero};
  int window = static_cast<int>(blockIdx.z * gridDim.y + blockIdx.y);
  R rows(p, c, shared, head, kBiased ? window % c.masks : 0);
  if constexpr (R::kHeld) rows.Start(ReadWarp() * 16);
  while (window < p.windows) {
    const uint8_t* key = p.codes + static_cast<int64_t>(window * c.tokens) * c.pitch + (c.heads + head) * c.head_width;
    const uint8_t* value = key + c.heads * c.head_width;
    if (c.wide) {
      tile.template Load<uint4>(key, value, c.pitch);
    } else {
      tile.template Load<uint32_t>(key, value, c.pitch);
    }
    __syncthreads();
#pragma unroll 1
    for (int first = 0; first < (kTiles + 1) / 2; first += kWarps<kTiles>) {
      const int row = (first + ReadWarp()) * 16;
      if (row >= c.tokens) break;
      if constexpr (!R::kHeld) rows.Start(row);
      rows.Run(window);
    }
    if constexpr (!R::kHeld) return;
    window += static_cast<int>(gridDim.y);
    __syncthreads();
  }
}

// Where biases are loaded once for all windows of a block: no more blocks than fill the largest GPUs several times.
dim3 Blocks(const AttentionArguments& p, bool held) {
  constexpr int64_t kMost = 65535, kMostHeld = 4096;  // kMost: of gridDim.y
  int64_t windows = std::min(p.windows, kMost), times = (p.windows + windows - 1) / windows;
  if (held) {
    const int64_t of_a_mask = kMostHeld / (p.heads * p.masks);
    windows = std::min(windows, std::max<int64_t>(of_a_mask, 1) * p.masks);
    times = 1;
  }
  return dim3(static_cast<unsigned>(p.heads), static_cast<unsigned>(windows), static_cast<unsigned>(times));
}

template <int kTiles, int kWidth, bool kLogSqrt2, bool kBiased>
void Launch(const AttentionArguments& p, cudaStream_t stream) {
  constexpr int kSharedBytes = HeadTile<kTiles * 8, kWidth>::kBytes;
  constexpr auto kKernel = Attention<kTiles, kWidth, kLogSqrt2, kBiased>;
  AllowSharedMemory<kKernel>(kSharedBytes, "attention");
  const dim3 blocks = Blocks(p, Rows<kTiles, kWidth, kLogSqrt2, kBiased>::kHeld);
  kKernel<<<blocks, 32 * kWarps<kTiles>, kSharedBytes, stream>>>(p, AttentionConstants(p, kWidth));
  CheckLaunch("attention");
}

template <int kTiles, int kWidth>
void Launch(const AttentionArguments& p, cudaStream_t stream) {
  const bool biased = p.bias != nullptr || p.mask != nullptr;
  const auto launch = p.log_sqrt2
                          ? (biased ? Launch<kTiles, kWidth, true, true> : Launch<kTiles, kWidth, true, false>)
                          : (biased ? Launch<kTiles, kWidth, false, true> : Launch<kTiles, kWidth, false, false>);
  launch(p, stream);
}

template <int kTiles>
void Launch(const AttentionArguments& p, cudaStream_t stream) {
  if (p.head_width <= 32) {
    Launch<kTiles, 32>(p, stream);
  } else {
    Launch<kTiles, 64>(p, stream);
  }
}

}  // namespace

void AttentionOnGpu(const AttentionArguments& p, void* stream) {
  if (p.windows == 0) return;
  if (p.tokens > kMostAttentionTokens || p.head_width > kMostHeadWidth || p.head_width % 4 != 0) {
    throw std::runtime_error("attention on the GPU: too many tokens or too wide a head");
  }
  const auto queue = static_cast<cudaStream_t>(stream);
  if (p.tokens <= 56) {
    Launch<7>(p, queue);
  } else if (p.tokens <= 144) {
    Launch<18>(p, queue);
  } else if (p.tokens <= 200) {
    Launch<25>(p, queue);
  } else {
    Launch<32>(p, queue);
  }
}

}  // namespace qwt
