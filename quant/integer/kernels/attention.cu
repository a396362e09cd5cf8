// Attention of one head over one window or image in one block: scores stay in registers.
//
// Codes of query, key and value less their zero points are integers of at most 8 bits and a sign, which bfloat16 holds,
// and so are powers of 2: products are exact, sums are float32's. A log√2 code is a power of 2, times √2 where it is
// odd: even and odd codes have a sum each.
#include <cuda_bf16.h>

#include "quant/integer/kernels/device.cuh"

namespace qwt {
namespace {

constexpr float kLog2E = 1.44269504088896340736f, kSqrt2 = 1.41421356f;

// A warp takes sixteen queries at a time.
template <int kChunks>
constexpr int kWarps = kChunks <= 4 ? kChunks : (kChunks + 1) / 2;

__device__ __forceinline__ void Multiply(float* d, const uint32_t* a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two codes less the zero point, the first in the low half. offset: 2^23 + zero.
template <int kFirst>
__device__ __forceinline__ uint32_t Centred(uint32_t codes, float offset) {
  const float first = __uint_as_float(__byte_perm(codes, 0x4b000000u, 0x7650 + kFirst)) - offset;
  const float second = __uint_as_float(__byte_perm(codes, 0x4b000000u, 0x7651 + kFirst)) - offset;
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return reinterpret_cast<const uint32_t&>(pair);
}
constexpr float kByteOffset = 8388608.0f;

// Keys or values of a head in shared memory, bfloat16 [16 * kChunks, kWidth], pieces of 16 bytes swizzled so that eight
// rows' pieces lie in different banks.
template <int kWidth>
struct Tile {
  static constexpr int kPieces = kWidth / 8, kRowBytes = 2 * kWidth, kChunkBytes = 16 * kRowBytes;
  // Where a lane reads from: pieces two further on are at the address ^ 32, since a tile begins at a multiple of 128.
  static __device__ __forceinline__ uint32_t Lane(const char* tile, int row, int piece) {
    return SharedAddress(tile) + Offset(row, piece);
  }
  static __device__ __forceinline__ uint32_t Offset(int row, int piece) {
    return row * kRowBytes + ((piece ^ (row * kPieces / 8 & (kPieces - 1))) << 4);
  }
  static __device__ __forceinline__ void Load(char* tile, int rows, const uint8_t* codes, int64_t pitch, int tokens,
                                              int head_width, float zero) {
#pragma unroll 4
    for (int i = threadIdx.x; i < rows * kWidth / 4; i += blockDim.x) {
      const int row = i / (kWidth / 4), column = i % (kWidth / 4) * 4;
      uint2 v = {0, 0};
      if (row < tokens && column < head_width) {
        const uint32_t four = *reinterpret_cast<const uint32_t*>(codes + row * pitch + column);
        v = make_uint2(Centred<0>(four, kByteOffset + zero), Centred<2>(four, kByteOffset + zero));
      }
      *reinterpret_cast<uint2*>(tile + Offset(row, column / 8) + column % 8 * 2) = v;
    }
  }
};

// Two neighbours' quantised probabilities as powers of 2 (bfloat16 bits): those of even codes, and those of odd ones.
struct Powers {
  uint32_t even, odd;
};
// positions: -2 · log2 of the probability over the scale; largest: what a position is clamped to.
__device__ __forceinline__ Powers PowersOf(float first, float second, float largest, float zero_code) {
  const float a = fmaxf(fminf(first, largest), 0.0f) + kRounder, b = fmaxf(fminf(second, largest), 0.0f) + kRounder;
  const uint32_t low = __float_as_uint(a), high = __float_as_uint(b);  // codes in the low bits
  const uint32_t low_power = a < kRounder + zero_code ? 16256u - (((low + 1) & 0x3feu) << 6) : 0u;  // 2^-ceil(code / 2)
  const uint32_t high_power = b < kRounder + zero_code ? 16256u - (((high + 1) & 0x3feu) << 6) : 0u;
  const uint32_t powers = low_power + (high_power << 16), odd = ((low & 1u) + ((high & 1u) << 16)) * 0xffffu;
  return {powers & ~odd, powers & odd};
}

// Sixteen rows of queries, keys sixteen at a time. A thread holds keys 8j + 2t and the next, of rows g and g + 8. Scores
// are computed twice, for the rows' sums and for the mix, so that few registers hold them and many warps run at once.
template <int kChunks, int kWidth, bool kLogSqrt2>
struct Rows {
  const AttentionArguments& p;
  int first_row, tokens, head;
  int64_t window;
  uint32_t keys, values;  // this lane's addresses in shared memory, of the first keys' first piece (Tile::Lane)
  uint32_t query[kWidth / 16][4];
  float per_score;        // log2 e, times the scores' scale where nothing is added to them
  float log2_total[2];    // of the row's Σ exp(score)

  __device__ __forceinline__ void LoadQuery(const uint8_t* codes) {
    const int lane = threadIdx.x % 32, row = first_row + lane / 4, column = lane % 4 * 2;
    per_score = p.bias == nullptr ? p.score_scale * kLog2E : kLog2E;
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = row + i % 2 * 8, c = k * 16 + column + i / 2 * 8;
        query[k][i] = 0;
        if (r >= tokens || c >= p.head_width) continue;
        query[k][i] = Centred<0>(*reinterpret_cast<const uint16_t*>(codes + r * p.pitch + c), kByteOffset + p.query_zero);
      }
    }
  }

  __device__ __forceinline__ void Score(int chunk, float (&scores)[2][4]) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) scores[i / 4][i % 4] = 0;
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
      uint32_t b[4];
      LoadMatrices(b, (keys + chunk * Tile<kWidth>::kChunkBytes) ^ (k << 5));
      Multiply(scores[0], query[k], b[0], b[1]);
      Multiply(scores[1], query[k], b[2], b[3]);
    }
    if (p.bias != nullptr) AddBias(chunk, scores);
    if ((chunk + 1) * 16 <= tokens) return;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (Key(chunk, i / 4) + i % 2 >= tokens) scores[i / 4][i % 4] = -INFINITY;
    }
  }
  __device__ __forceinline__ int Key(int chunk, int j) const {
    return chunk * 16 + j * 8 + static_cast<int>(threadIdx.x % 4) * 2;
  }

  __device__ __forceinline__ void AddBias(int chunk, float (&scores)[2][4]) const {
    const float* bias = p.bias + head * p.tokens * p.tokens;
    const float* mask = p.mask == nullptr ? nullptr : p.mask + window % p.masks * p.tokens * p.tokens;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = first_row + static_cast<int>(threadIdx.x % 32 / 4) + i % 4 / 2 * 8, key = Key(chunk, i / 4) + i % 2;
      float& score = scores[i / 4][i % 4];
      score *= p.score_scale;
      if (row >= tokens || key >= tokens) continue;
      score += bias[row * tokens + key];
      if (mask != nullptr) score += mask[row * tokens + key];
    }
  }

  // A thread sums its own keys relative to the largest so far, then the four of a row theirs.
  __device__ __forceinline__ void Sum() {
    float most[2] = {-1e30f, -1e30f}, total[2] = {0, 0};
#pragma unroll 2
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      float s[2][4];
      Score(chunk, s);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float now = fmaxf(fmaxf(most[i], fmaxf(s[0][2 * i], s[0][2 * i + 1])), fmaxf(s[1][2 * i], s[1][2 * i + 1]));
        const float origin = -now * per_score;
        total[i] *= Exp2((most[i] - now) * per_score);
        total[i] += (Exp2(fmaf(s[0][2 * i], per_score, origin)) + Exp2(fmaf(s[0][2 * i + 1], per_score, origin))) +
                    (Exp2(fmaf(s[1][2 * i], per_score, origin)) + Exp2(fmaf(s[1][2 * i + 1], per_score, origin)));
        most[i] = now;
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int lanes = 1; lanes <= 2; ++lanes) {
        const float other = __shfl_xor_sync(~0u, most[i], lanes), sum = __shfl_xor_sync(~0u, total[i], lanes);
        const float now = fmaxf(most[i], other);
        total[i] = total[i] * Exp2((most[i] - now) * per_score) + sum * Exp2((other - now) * per_score);
        most[i] = now;
      }
      log2_total[i] = fmaf(most[i], per_score, log2f(total[i]));
    }
  }

  // Σ p̂ (v - zero) of this thread's columns: 8j + 2t and the next of rows g and g + 8, but for its units.
  __device__ __forceinline__ void Mix(float (&out)[kWidth / 8][4]) const {
    const float log2_scale = kLogSqrt2 ? log2f(p.log_scale) : 0.0f;
    const float largest = kLogSqrt2 && p.log_floor > 0 ? fminf(-2.0f * log2f(p.log_floor), 1000.0f) : 1000.0f;
    const float factor = (kLogSqrt2 ? -2.0f : 1.0f) * per_score, zero_code = static_cast<float>(p.zero_code);
    const float base[2] = {(kLogSqrt2 ? 2.0f : -1.0f) * (log2_total[0] + log2_scale),
                           (kLogSqrt2 ? 2.0f : -1.0f) * (log2_total[1] + log2_scale)};
    float odd_out[kWidth / 8][4];
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) out[i / 4][i % 4] = odd_out[i / 4][i % 4] = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      float s[2][4];
      Score(chunk, s);
      uint32_t a[4], odd[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {  // rows g (even i) and g + 8, keys of the first (i < 2) and second eight
        const float first = fmaf(s[i / 2][i % 2 * 2], factor, base[i % 2]);
        const float second = fmaf(s[i / 2][i % 2 * 2 + 1], factor, base[i % 2]);
        uint32_t there = ~0u;
        if ((chunk + 1) * 16 > tokens) {
          const int key = Key(chunk, i / 2);
          there = (key < tokens ? 0xffffu : 0u) | (key + 1 < tokens ? 0xffff0000u : 0u);
        }
        if constexpr (kLogSqrt2) {
          const Powers powers = PowersOf(first, second, largest, zero_code);
          a[i] = powers.even & there;
          odd[i] = powers.odd & there;
        } else {
          const uint32_t codes = Pack(CarrierOf(Exp2(first), p.uniform), CarrierOf(Exp2(second), p.uniform));
          a[i] = Centred<0>(codes, kByteOffset + p.uniform.zero) & there;
        }
      }
#pragma unroll
      for (int d = 0; d < kWidth / 16; ++d) {
        uint32_t b[4];
        LoadMatricesTransposed(b, (values + chunk * Tile<kWidth>::kChunkBytes) ^ (d << 5));
        Multiply(out[2 * d], a, b[0], b[1]);
        Multiply(out[2 * d + 1], a, b[2], b[3]);
        if constexpr (kLogSqrt2) {
          Multiply(odd_out[2 * d], odd, b[0], b[1]);
          Multiply(odd_out[2 * d + 1], odd, b[2], b[3]);
        }
      }
    }
    if constexpr (kLogSqrt2) {
#pragma unroll
      for (int i = 0; i < kWidth / 2; ++i) out[i / 4][i % 4] = fmaf(odd_out[i / 4][i % 4], kSqrt2, out[i / 4][i % 4]);
    }
  }

  __device__ __forceinline__ void Write(const float (&out)[kWidth / 8][4], uint8_t* codes) const {
    const int lane = threadIdx.x % 32;
    const float unit = p.value_unit * (kLogSqrt2 ? p.log_scale : p.uniform.scale);
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + lane / 4 + half * 8, column = j * 8 + lane % 4 * 2;
        if (row >= tokens || column >= p.head_width) continue;
        const uint32_t low = CarrierOf(out[j][2 * half] * unit, p.carrier);
        const uint32_t high = CarrierOf(out[j][2 * half + 1] * unit, p.carrier);
        *reinterpret_cast<uint16_t*>(codes + row * p.out_pitch + column) = static_cast<uint16_t>(Pack(low, high));
      }
    }
  }
};

template <int kChunks, int kWidth, bool kLogSqrt2>
__global__ void __launch_bounds__(32 * kWarps<kChunks>, 16 / kWarps<kChunks>)
    Attention(const __grid_constant__ AttentionArguments p) {
  extern __shared__ __align__(128) char shared[];
  char *keys = shared, *values = shared + 16 * kChunks * Tile<kWidth>::kRowBytes;
  const int64_t window = blockIdx.x / p.heads;
  const int head = static_cast<int>(blockIdx.x % p.heads), tokens = static_cast<int>(p.tokens);
  const int head_width = static_cast<int>(p.head_width);
  const uint8_t* query = p.codes + window * p.tokens * p.pitch + head * p.head_width;
  const uint8_t *key = query + p.heads * p.head_width, *value = key + p.heads * p.head_width;
  Tile<kWidth>::Load(keys, 16 * kChunks, key, p.pitch, tokens, head_width, p.key_zero);
  Tile<kWidth>::Load(values, 16 * kChunks, value, p.pitch, tokens, head_width, p.value_zero);
  __syncthreads();
  uint8_t* out = p.out + window * p.tokens * p.out_pitch + head * p.head_width;
  for (int tile = threadIdx.x / 32; tile * 16 < tokens; tile += kWarps<kChunks>) {
    const int lane = threadIdx.x % 32;
    Rows<kChunks, kWidth, kLogSqrt2> rows{p,
                                          tile * 16,
                                          tokens,
                                          head,
                                          window,
                                          Tile<kWidth>::Lane(keys, lane / 16 * 8 + lane % 8, lane / 8 % 2),
                                          Tile<kWidth>::Lane(values, lane % 16, lane / 16)};
    rows.LoadQuery(query);
    rows.Sum();
    float mixed[kWidth / 8][4];
    rows.Mix(mixed);
    rows.Write(mixed, out);
  }
}

template <int kChunks, int kWidth, bool kLogSqrt2>
void Launch(const AttentionArguments& p, cudaStream_t stream) {
  constexpr int kSharedBytes = 2 * 16 * kChunks * Tile<kWidth>::kRowBytes;
  const auto kernel = Attention<kChunks, kWidth, kLogSqrt2>;
  static const cudaError_t allowed = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (allowed != cudaSuccess) throw std::runtime_error(std::string("attention on the GPU: ") + cudaGetErrorString(allowed));
  kernel<<<static_cast<unsigned>(p.windows * p.heads), 32 * kWarps<kChunks>, kSharedBytes, stream>>>(p);
  CheckLaunch("attention");
}

template <int kChunks, int kWidth>
void Launch(const AttentionArguments& p, cudaStream_t stream) {
  if (p.log_sqrt2) {
    Launch<kChunks, kWidth, true>(p, stream);
  } else {
    Launch<kChunks, kWidth, false>(p, stream);
  }
}

template <int kChunks>
void Launch(const AttentionArguments& p, cudaStream_t stream) {
  if (p.head_width <= 16) {
    Launch<kChunks, 16>(p, stream);
  } else if (p.head_width <= 32) {
    Launch<kChunks, 32>(p, stream);
  } else {
    Launch<kChunks, 64>(p, stream);
  }
}

}  // namespace

void AttentionOnGpu(const AttentionArguments& p, void* stream) {
  if (p.windows == 0) return;
  if (p.tokens > kMostAttentionTokens || p.head_width > kMostHeadWidth || p.head_width % 4 != 0) {
    throw std::runtime_error("attention on the GPU: too many tokens or too wide a head");
  }
  const auto queue = static_cast<cudaStream_t>(stream);
  if (p.tokens <= 32) {
    Launch<2>(p, queue);
  } else if (p.tokens <= 64) {
    Launch<4>(p, queue);
  } else if (p.tokens <= 208) {
    Launch<13>(p, queue);
  } else {
    Launch<16>(p, queue);
  }
}

}  // namespace qwt
