// What follows a tile's sums: scales and bias, and on the way out residuals, or an activation and codes. Of product.cu
// alone.
#pragma once

#include <cuda_fp16.h>

#include "quant/integer/kernels/product_tile.cuh"

namespace qwt {
namespace {

constexpr int kCodePitch = kTile + 16;                      // of the tile of codes on its way out

// The tile's columns' constants, in shared memory; beyond the matrix zeros.
struct Columns {
  float scale[kTile], bias[kTile], row_sum_scale[kTile], end_count_scale[kTile];
  float low[kTile], high[kTile];  // CodeRange

  template <Output kOutput>
  __device__ __forceinline__ void Load(const ProductArguments& p, int64_t first_column) {
    const int i = threadIdx.x;
    if (i >= kTile) return;
    const int64_t n = first_column + i;
    const auto get = [&](const float* from) { return from != nullptr && n < p.columns ? from[n] : 0.0f; };
    scale[i] = get(p.scale);
    bias[i] = get(p.bias);
    row_sum_scale[i] = get(p.row_sum_scale);
    end_count_scale[i] = get(p.end_count_scale);
    if (kOutput == Output::kFloat) return;
    const int64_t width = p.columns / p.groups;
    const CodeRange range(p.carriers[p.groups == 1 ? 0 : (n >= width) + (n >= 2 * width)]);
    low[i] = range.low;
    high[i] = range.high;
  }
};

// Two neighbouring columns' constants.
template <bool kRowSums, bool kEnds>
struct ColumnPair {
  float2 scale, bias, row_sum_scale, end_count_scale;

  __device__ __forceinline__ ColumnPair(const Columns& columns, int column) {
    const auto get = [&](const float* from) { return *reinterpret_cast<const float2*>(from + column); };
    scale = get(columns.scale);
    bias = get(columns.bias);
    if (kRowSums) row_sum_scale = get(columns.row_sum_scale);
    if (kRowSums && kEnds) end_count_scale = get(columns.end_count_scale);
  }
  // row_sums: of the tile's rows and, behind them, how many ends each has; in shared memory.
  __device__ __forceinline__ float2 Values(const int32_t* sums, const int32_t* row_sums, int row) const {
    float2 v = {fmaf(static_cast<float>(sums[0]), scale.x, bias.x), fmaf(static_cast<float>(sums[1]), scale.y, bias.y)};
    if (kRowSums) {
      const auto sum = static_cast<float>(row_sums[row]);
      v = make_float2(fmaf(sum, row_sum_scale.x, v.x), fmaf(sum, row_sum_scale.y, v.y));
    }
    if (kRowSums && kEnds) {
      const auto count = static_cast<float>(row_sums[kTile + row]);
      v = make_float2(fmaf(count, end_count_scale.x, v.x), fmaf(count, end_count_scale.y, v.y));
    }
    return v;
  }
};

template <typename T>
__device__ __forceinline__ float2 LoadPair(const T* from, bool both);
template <>
__device__ __forceinline__ float2 LoadPair(const float* from, bool both) {
  return both ? *reinterpret_cast<const float2*>(from) : make_float2(*from, 0);
}
template <>
__device__ __forceinline__ float2 LoadPair(const __half* from, bool both) {
  return both ? __half22float2(*reinterpret_cast<const __half2*>(from)) : make_float2(__half2float(*from), 0);
}

// Residuals of several columns are on their way before the first is used.
template <bool kRowSums, bool kEnds>
__device__ __forceinline__ void WriteFloats(const ProductArguments& p, const int32_t (&acc)[64], int64_t first_row,
                                            int64_t first_column, const Columns& constants, const int32_t* row_sums) {
  constexpr int kAtOnce = 4;
  const Layout layout;
  const bool even = p.columns % 2 == 0;
  const auto* addend = static_cast<const __half*>(p.addend);
  int64_t rows[Layout::kRows], residuals[Layout::kRows];
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    const int64_t m = first_row + layout.Row(r), to = m < p.rows ? Mapped(p.map, m) : -1;
    rows[r] = to < 0 ? -1 : to * p.columns;
    residuals[r] = ResidualRow(p, to) * p.columns;
  }
#pragma unroll
  for (int first = 0; first < Layout::kColumns; first += kAtOnce) {
    float2 v[kAtOnce][Layout::kRows];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t n = first_column + layout.Column(first + i);
#pragma unroll
      for (int r = 0; r < Layout::kRows; ++r) {
        v[i][r] = make_float2(0, 0);
        if (rows[r] < 0 || n >= p.columns) continue;
        if (p.residual != nullptr) v[i][r] = LoadPair(p.residual + residuals[r] + n, even);
        if (addend == nullptr) continue;
        const float2 more = LoadPair(addend + rows[r] + n, even);
        v[i][r] = make_float2(v[i][r].x + more.x, v[i][r].y + more.y);
      }
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t n = first_column + layout.Column(first + i);
      const ColumnPair<kRowSums, kEnds> columns(constants, layout.Column(first + i));
#pragma unroll
      for (int r = 0; r < Layout::kRows; ++r) {
        if (rows[r] < 0 || n >= p.columns) continue;
        float2 sum = columns.Values(acc + Layout::Index(r, first + i), row_sums, layout.Row(r));
        sum = make_float2(v[i][r].x + sum.x, v[i][r].y + sum.y);
        float* out = p.out + rows[r] + n;
        if (even) {
          *reinterpret_cast<float2*>(out) = sum;
        } else {  // neighbours in pairs that are not aligned
          out[0] = sum.x;
          if (n + 1 < p.columns) {
            const float residual = p.residual == nullptr ? 0.0f : p.residual[residuals[r] + n + 1];
            out[1] = sum.y + residual + (addend == nullptr ? 0.0f : __half2float(addend[rows[r] + n + 1]));
          }
        }
      }
    }
  }
}

// Through shared memory, so that a row's codes leave 16 at a time.
template <bool kRowSums, bool kEnds, Activation kActivation>
__device__ __forceinline__ void WriteCodes(const ProductArguments& p, const int32_t (&acc)[64], int64_t first_row,
                                           int64_t first_column, const Columns& constants, const int32_t* row_sums,
                                           char* tile) {
  const Layout layout;
#pragma unroll
  for (int j = 0; j < Layout::kColumns; ++j) {
    const int column = layout.Column(j);
    const ColumnPair<kRowSums, kEnds> columns(constants, column);
    const auto low = *reinterpret_cast<const float2*>(constants.low + column);
    const auto high = *reinterpret_cast<const float2*>(constants.high + column);
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r) {
      float2 v = columns.Values(acc + Layout::Index(r, j), row_sums, layout.Row(r));
      if (kActivation != Activation::kNone) {
        v = make_float2(StepsOf(Activate<kActivation>(v.x), p.carriers[0]), StepsOf(Activate<kActivation>(v.y), p.carriers[0]));
      }
      const uint32_t codes = Pack(CodeOf(v.x, {low.x, high.x}), CodeOf(v.y, {low.y, high.y}));
      *reinterpret_cast<uint16_t*>(tile + layout.Row(r) * kCodePitch + column) = static_cast<uint16_t>(codes);
    }
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kTile * kTile / 16 / kThreads; ++i) {
    const int item = i * kThreads + threadIdx.x, row = item / 8, column = item % 8 * 16;
    if (first_row + row >= p.rows || first_column + column >= p.code_pitch) continue;
    *reinterpret_cast<int4*>(p.codes + (first_row + row) * p.code_pitch + first_column + column) =
        *reinterpret_cast<const int4*>(tile + row * kCodePitch + column);
  }
}

}  // namespace
}  // namespace qwt
