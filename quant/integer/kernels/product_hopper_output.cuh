// What follows a tile's sums in registers of a warpgroup (product_hopper.cu): scales and bias, and on the way out
// residuals, or an activation and codes.
#pragma once

#include <cuda_fp16.h>

#include "quant/integer/kernels/hopper.cuh"

namespace qwt {
namespace {

constexpr int kTileRows = 64, kTile = 128, kDepth = 128;

// Of 64 x 128 sums a thread holds two rows (TileRows). The weights' rows are multiplied in an order in which its
// columns, sum 4j + c of two rows eight apart, are neighbours: of codes 32 + 32t.., of floats 16j + 4t...

// The thread's rows in the output, -1 where there are none: those of the tile at warp · 16 + lane / 4 and 8 more.
struct TileRows {
  int of[2];

  __device__ __forceinline__ TileRows(const ProductArguments& p, int first_row) {
    const int row = first_row + static_cast<int>(threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int m = row + r * 8;
      of[r] = m < p.rows ? static_cast<int>(Mapped(p.map, static_cast<uint32_t>(m))) : -1;
    }
  }
};

// Steps of codes as a share of the largest: clamping is what multiplications do for nothing (.sat), 0 and 1 its ends.
struct CodeScale {
  float factor, offset, top;

  __device__ __forceinline__ explicit CodeScale(const Carrier& c)
      : factor(1 / c.top), offset(c.zero / c.top), top(c.top) {}
};
// The tile's columns' constants, in shared memory; beyond the matrix zeros. Without an activation codes are scaled to
// shares (CodeScale) here. third: of codes their largest, of floats what scales a row's sum.
struct Constants {
  static constexpr int kSlots = kTile + 12;
  __align__(16) float scale[kSlots], bias[kSlots], third[kSlots];

  // So that the four threads of a row read from different banks.
  static __device__ __forceinline__ int Slot(int column) { return column + column / 32 * 4; }

  template <Output kOutput, Activation kActivation>
  __device__ __forceinline__ void Load(const ProductArguments& p, int first_column) {
    const int column = threadIdx.x % kTile, slot = Slot(column);
    const int64_t n = first_column + column;
    const auto get = [&](const float* from) { return from != nullptr && n < p.columns ? from[n] : 0.0f; };
    float s = get(p.scale), b = get(p.bias);
    if (kOutput == Output::kFloat) third[slot] = get(p.row_sum_scale);
    if (kOutput == Output::kCodes && kActivation == Activation::kNone) {
      const int64_t width = p.columns / p.groups;
      const CodeScale of(p.carriers[p.groups == 1 ? 0 : min(2, static_cast<int>(n / width))]);
      s *= of.factor;
      b = fmaf(b, of.factor, of.offset);
      third[slot] = of.top;
    }
    scale[slot] = s;
    bias[slot] = b;
  }
};

__device__ __forceinline__ float4 Four(const float* from, int column) {
  return *reinterpret_cast<const float4*>(from + Constants::Slot(column));
}

__device__ __forceinline__ float4 Scaled(const int32_t* sums, const float4& scale, const float4& bias) {
  return make_float4(fmaf(static_cast<float>(sums[0]), scale.x, bias.x), fmaf(static_cast<float>(sums[1]), scale.y, bias.y),
                     fmaf(static_cast<float>(sums[4]), scale.z, bias.z), fmaf(static_cast<float>(sums[5]), scale.w, bias.w));
}

// What is added to four columns of a row.
struct Added {
  float4 residual;
  uint2 addend;  // four halves

  __device__ __forceinline__ float4 Sum(float4 v) const {
    const float2 low = __half22float2(reinterpret_cast<const __half2&>(addend.x));
    const float2 high = __half22float2(reinterpret_cast<const __half2&>(addend.y));
    return make_float4(v.x + (residual.x + low.x), v.y + (residual.y + low.y), v.z + (residual.z + high.x),
                       v.w + (residual.w + high.y));
  }
};

// Brings what a tile's sums are added to, which is wanted last, to the GPU's second-level cache: lines of 128 bytes.
__device__ __forceinline__ void PrefetchAdded(const ProductArguments& p, int first_row, int first_column) {
  const int thread = static_cast<int>(threadIdx.x % 128), m = first_row + thread / 2, n = first_column + thread % 2 * 64;
  if (m >= p.rows || n >= p.columns) return;
  const auto prefetch = [](const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); };
  const int64_t to = Mapped(p.map, static_cast<uint32_t>(m));
  if (p.residual != nullptr) {
    const float* from = p.residual + ResidualRow(p, to) * p.columns + n;
    prefetch(from);
    if (n + 32 < p.columns) prefetch(from + 32);
  }
  if (p.addend != nullptr) prefetch(static_cast<const __half*>(p.addend) + to * p.columns + n);
}

__device__ __forceinline__ float4 PlusRowSum(const float4& v, float sum, const float4& scale) {
  return make_float4(fmaf(sum, scale.x, v.x), fmaf(sum, scale.y, v.y), fmaf(sum, scale.z, v.z), fmaf(sum, scale.w, v.w));
}

// acc: row r's four columns from 4j on are at 8j + 2r and 4 further. Loads of kAtOnce times two rows are on their way at
// once, whether or not the tile has so many rows. kMore: row_sums count, and residuals may repeat.
template <bool kMore>
__device__ __forceinline__ void WriteFloats(const ProductArguments& p, const int32_t (&acc)[64], const uint32_t (&row_sums)[2],
                                            const TileRows& rows, int first_column, const Constants& constants) {
  constexpr int kAtOnce = 4;
  const int first = static_cast<int>(threadIdx.x % 4) * 4, left = static_cast<int>(p.columns) - first_column - first;
  const int64_t at[2] = {max(rows.of[0], 0) * p.columns + first_column + first,
                         max(rows.of[1], 0) * p.columns + first_column + first};
  const auto residual = [&](int r) {
    return kMore ? ResidualRow(p, max(rows.of[r], 0)) * p.columns + first_column + first : at[r];
  };
  const int64_t residual_at[2] = {residual(0), residual(1)};
#pragma unroll
  for (int j = 0; j < 8; j += kAtOnce) {
    Added added[kAtOnce][2] = {};
#pragma unroll
    for (int i = 0; i < kAtOnce * 2; ++i) {
      const int column = (j + i / 2) * 16;
      Added& of = added[i / 2][i % 2];
      if (p.residual != nullptr && column < left) of.residual = *reinterpret_cast<const float4*>(p.residual + residual_at[i % 2] + column);
      if (p.addend != nullptr && column < left) {
        of.addend = *reinterpret_cast<const uint2*>(static_cast<const __half*>(p.addend) + at[i % 2] + column);
      }
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int column = (j + i) * 16;
      const float4 scale = Four(constants.scale, column + first), bias = Four(constants.bias, column + first);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float4 v = Scaled(acc + (j + i) * 8 + r * 2, scale, bias);
        if (kMore) v = PlusRowSum(v, static_cast<float>(row_sums[r]), Four(constants.third, column + first));
        v = added[i][r].Sum(v);
        if (rows.of[r] >= 0 && column < left) *reinterpret_cast<float4*>(p.out + at[r] + column) = v;
      }
    }
  }
}

template <Activation kActivation>
__device__ __forceinline__ void WriteCodes(const ProductArguments& p, const int32_t (&acc)[64], const TileRows& rows,
                                           int first_column, const Constants& constants) {
  const CodeScale one(p.carriers[0]);
  const float factor = one.factor * p.carriers[0].inverse_scale;
  const int first = static_cast<int>(threadIdx.x % 4) * 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint32_t words[2][4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int column = first + half * 16 + j * 4;
      const float4 scale = Four(constants.scale, column), bias = Four(constants.bias, column);
      float4 top = make_float4(one.top, one.top, one.top, one.top);
      if (kActivation == Activation::kNone) top = Four(constants.third, column);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float4 v = Scaled(acc + (half * 4 + j) * 8 + r * 2, scale, bias);
        const auto share = [&](float x) {
          return __saturatef(kActivation == Activation::kNone ? x : fmaf(Activate<kActivation>(x), factor, one.offset));
        };
        words[r][j] = LowBytes(CodeOfShare(share(v.x), top.x), CodeOfShare(share(v.y), top.y),
                               CodeOfShare(share(v.z), top.z), CodeOfShare(share(v.w), top.w));
      }
    }
    const int64_t n = first_column + first + half * 16;
    if (n >= p.code_pitch) continue;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (rows.of[r] < 0) continue;
      *reinterpret_cast<uint4*>(p.codes + rows.of[r] * p.code_pitch + n) =
          make_uint4(words[r][0], words[r][1], words[r][2], words[r][3]);
    }
  }
}

}  // namespace
}  // namespace qwt
