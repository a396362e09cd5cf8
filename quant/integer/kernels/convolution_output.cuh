// What follows a convolution's sums where more than an activation and codes do: a residual, an activation, an addend,
// out as floats, codes or both. Of convolution.cu alone.
#pragma once

#include "quant/integer/kernels/product_output.cuh"

namespace qwt {
namespace {

// d [16 x 8] += a · b', float16 [16 x 16] by [8 x 16]: a's left half and right half, each of two rows.
__device__ __forceinline__ void MultiplyHalves(float (&d)[4], const uint32_t (&left)[2], const uint32_t (&right)[2],
                                               uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(left[0]), "r"(left[1]), "r"(right[0]), "r"(right[1]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ float2 InHalves(float x, float y) {
  return __half22float2(__float22half2_rn(make_float2(x, y)));
}

// The tile's 128 x 128 values in the buffers of pieces that are no longer read: as if its two halves of 64 rows were
// the pieces after the last, the residual comes there while products are still made.
struct ValueTile {
  static constexpr int kHalf = kTile / 2, kRowBytes = kTile * 4;
  static_assert(kHalf * kRowBytes == kStageBytes);
  char* buffers;
  int count;  // pieces

  // Of four columns. Four rows' neighbouring pieces lie in different banks.
  __device__ __forceinline__ int Offset(int row, int quad) const {
    return (count + row / kHalf) % kStages * kStageBytes + row % kHalf * kRowBytes + ((quad ^ ((row & 3) << 1)) << 4);
  }
  __device__ __forceinline__ float* At(int row, int column) const {
    return reinterpret_cast<float*>(buffers + Offset(row, column / 4)) + column % 4;
  }

  // half: of the tile, 0 or 1.
  __device__ __forceinline__ void CopyResidual(const ProductArguments& p, int half, int64_t first_row,
                                               int64_t first_column) const {
    if (p.residual == nullptr || half > 1) return;
    if (p.columns % 4 == 0) {
      const int quad = threadIdx.x % 32, first = half * kHalf + threadIdx.x / 32;
      const int64_t n = first_column + quad * 4;
#pragma unroll
      for (int row = first; row < (half + 1) * kHalf; row += kThreads / 32) {
        const int64_t m = first_row + row;
        CopyAsync(SharedAddress(buffers + Offset(row, quad)), p.residual + m * p.columns + n,
                  m < p.rows && n < p.columns);
      }
      return;
    }
    for (int i = threadIdx.x; i < kHalf * kTile; i += kThreads) {
      const int row = half * kHalf + i / kTile, column = i % kTile;
      const int64_t m = first_row + row, n = first_column + column;
      *At(row, column) = m < p.rows && n < p.columns ? p.residual[m * p.columns + n] : 0;
    }
  }

  // activation(v + residual), in its place.
  template <bool kRowSums>
  __device__ __forceinline__ void Add(const ProductArguments& p, const int32_t (&acc)[64], const Columns& constants,
                                      const int32_t* row_sums) const {
#pragma unroll
    for (int j = 0; j < Layout::kColumns; ++j) {
#pragma unroll
      for (int r = 0; r < Layout::kRows; ++r) AddPair<kRowSums>(p, acc, constants, row_sums, r, j, {0, 0});
    }
  }

  // The same, and the addend that residual_weight makes of the residual. weight: float16 [128, 64] in shared memory, as
  // pieces of operands lie there. A thread's residuals of 64 columns are, rounded, its part of the matrix unit's left
  // operand.
  template <bool kRowSums>
  __device__ __forceinline__ void AddProduct(const ProductArguments& p, const int32_t (&acc)[64],
                                             const Columns& constants, const int32_t* row_sums, uint32_t weight) const {
    constexpr int kPairs = kResidualGroup / 8;  // of neighbouring columns that a thread has of a group's row
    const Layout layout;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < Layout::kRows; r += 2) {
#pragma unroll
      for (int first = 0; first < Layout::kColumns; first += kPairs) {
        uint32_t a[kPairs][2];
#pragma unroll
        for (int j = 0; j < kPairs; ++j) {
          a[j][0] = Rounded(layout.Row(r), layout.Column(first + j));
          a[j][1] = Rounded(layout.Row(r + 1), layout.Column(first + j));
        }
        const int column = layout.Column(first) - lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < kPairs; j += 2) {
          float sums[2][4] = {};
          const int row = column + j * 8 + lane / 16 * 8 + lane % 8;
#pragma unroll
          for (int k = 0; k < kResidualGroup / 16; ++k) {
            uint32_t b[4];
            LoadMatrices(b, weight + row * kDepth + (((k * 2 + lane / 8 % 2) ^ (row & 7)) << 4));
            MultiplyHalves(sums[0], a[2 * k], a[2 * k + 1], b[0], b[1]);
            MultiplyHalves(sums[1], a[2 * k], a[2 * k + 1], b[2], b[3]);
          }
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            AddPair<kRowSums>(p, acc, constants, row_sums, r, first + j + i, InHalves(sums[i][0], sums[i][1]));
            AddPair<kRowSums>(p, acc, constants, row_sums, r + 1, first + j + i, InHalves(sums[i][2], sums[i][3]));
          }
        }
      }
    }
  }

  __device__ __forceinline__ void Write(const ConvolutionArguments& c, int64_t first_row, int64_t first_column) const {
    if (c.product.columns % 4 == 0) return WriteQuads(c, first_row, first_column);
    const ProductArguments& p = c.product;
    for (int i = threadIdx.x; i < kTile * kTile; i += kThreads) {
      const int64_t m = first_row + i / kTile, n = first_column + i % kTile, at = m * p.columns + n;
      if (m >= p.rows || n >= p.columns) continue;
      float y = *At(i / kTile, i % kTile);
      if (p.addend != nullptr) y += __half2float(static_cast<const __half*>(p.addend)[at]);
      if (c.addend_bias != nullptr) y += c.addend_bias[n];
      if (p.out != nullptr) p.out[at] = y;
      if (p.codes != nullptr) p.codes[m * p.code_pitch + n] = static_cast<uint8_t>(CarrierOf(y, p.carriers[0]));
    }
  }

 private:
  // Of the thread's pair j of neighbouring columns in its row r.
  template <bool kRowSums>
  __device__ __forceinline__ void AddPair(const ProductArguments& p, const int32_t (&acc)[64], const Columns& constants,
                                          const int32_t* row_sums, int r, int j, float2 addend) const {
    const Layout layout;
    const int row = layout.Row(r), column = layout.Column(j);
    float2 v = ColumnPair<kRowSums, false>(constants, column).Values(acc + Layout::Index(r, j), row_sums, row);
    auto* at = reinterpret_cast<float2*>(At(row, column));
    if (p.residual != nullptr) v = make_float2(v.x + at->x, v.y + at->y);
    if (p.activation == Activation::kRelu) v = make_float2(fmaxf(v.x, 0.0f), fmaxf(v.y, 0.0f));
    *at = make_float2(v.x + addend.x, v.y + addend.y);
  }
  // A pair of values in float16.
  __device__ __forceinline__ uint32_t Rounded(int row, int column) const {
    const __half2 pair = __float22half2_rn(*reinterpret_cast<const float2*>(At(row, column)));
    return *reinterpret_cast<const uint32_t*>(&pair);
  }

  // A warp a row: 16 bytes a lane.
  __device__ __forceinline__ void WriteQuads(const ConvolutionArguments& c, int64_t first_row,
                                             int64_t first_column) const {
    const ProductArguments& p = c.product;
    const int quad = threadIdx.x % 32;
    const int64_t n = first_column + quad * 4;
    const bool inside = n < p.columns, coded = p.codes != nullptr && n < p.code_pitch;
    if (!inside && !coded) return;
    float4 bias = make_float4(0, 0, 0, 0);
    if (c.addend_bias != nullptr && inside) bias = *reinterpret_cast<const float4*>(c.addend_bias + n);
#pragma unroll 4
    for (int row = threadIdx.x / 32; row < kTile; row += kThreads / 32) {
      const int64_t m = first_row + row, at = m * p.columns + n;
      if (m >= p.rows) return;
      float4 y = *reinterpret_cast<const float4*>(At(row, quad * 4));
      if (p.addend != nullptr && inside) {
        const uint2 bits = *reinterpret_cast<const uint2*>(static_cast<const __half*>(p.addend) + at);
        const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&bits.x));
        const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&bits.y));
        y = make_float4(y.x + low.x, y.y + low.y, y.z + high.x, y.w + high.y);
      }
      if (c.addend_bias != nullptr) y = make_float4(y.x + bias.x, y.y + bias.y, y.z + bias.z, y.w + bias.w);
      if (p.out != nullptr && inside) *reinterpret_cast<float4*>(p.out + at) = y;
      if (!coded) continue;
      *reinterpret_cast<uint32_t*>(p.codes + m * p.code_pitch + n) =
          Pack(CarrierOf(y.x, p.carriers[0]), CarrierOf(y.y, p.carriers[0]), CarrierOf(y.z, p.carriers[0]),
               CarrierOf(y.w, p.carriers[0]));
    }
  }
};

}  // namespace
}  // namespace qwt
