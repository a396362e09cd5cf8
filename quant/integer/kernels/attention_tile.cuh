// Keys and values of a head in shared memory, as the matrix units read them.
#pragma once

#include "quant/integer/kernels/attention_codes.cuh"

namespace qwt {
namespace {

// Rows of so many bytes (32, 64 or 128), pieces of 16 bytes swizzled so that the same piece of eight rows lies in
// different banks. A tile begins at a multiple of 128 bytes: piece i ^ 2 of a row is at the address ^ 32, and what
// eight rows further on is at the address + 8 * kBytes.
template <int kBytes>
struct TileRows {
  static constexpr int kPieces = kBytes / 16;
  static __device__ __forceinline__ uint32_t Offset(uint32_t row, uint32_t piece) {
    return row * kBytes + ((piece ^ (row * kPieces / 8 & (kPieces - 1))) << 4);
  }
};

// Two codes less the zero point, as bfloat16, the first in the low half. offset: 2^23 + zero.
template <int kFirst>
__device__ __forceinline__ uint32_t Centred(uint32_t codes, float offset) {
  return Halves(__uint_as_float(__byte_perm(codes, 0x4b000000u, 0x7650 + kFirst)) - offset,
                __uint_as_float(__byte_perm(codes, 0x4b000000u, 0x7651 + kFirst)) - offset);
}

constexpr uint32_t kNoScore = 0xff800000u;  // -infinity

// kKeys: a multiple of 8; kWidth: 32 or 64, of the tile. Keys beyond the window's tokens have zeros and kNoScore.
template <int kKeys, int kWidth>
struct HeadTile {
  static constexpr int kAllKeys = (kKeys + 15) / 16 * 16;  // keys are read sixteen at a time
  using KeyRows = TileRows<kWidth>;
  using ValueRows = TileRows<2 * kWidth>;
  static constexpr int kValues = kAllKeys * kWidth, kOrigins = kValues + kAllKeys * 2 * kWidth;
  static constexpr int kBytes = kOrigins + kAllKeys * 8;

  char* shared;
  uint32_t tokens, head_width;
  int32_t query_zero;
  uint32_t origin;
  float value_offset;

  // Keys are codes: uint8 [kAllKeys, kWidth]. Values are numbers, bfloat16 [kAllKeys, kWidth], columns in another
  // order: column c = t · kWidth / 4 + 2j + i is at 8j + 2t + i, so that a thread's columns 2t + i of all products'
  // eights lie side by side. Origins, of eight keys those of keys 2t and 2t + 1 twice in 16 bytes: origin - query_zero
  // · Σ key.
  template <typename Unit>
  __device__ __forceinline__ void Load(const uint8_t* key, const uint8_t* value, int pitch) const {
    constexpr int kUnit = sizeof(Unit), kUnits = kWidth / kUnit, kAll = kAllKeys * kUnits;
#pragma unroll 4
    for (uint32_t i = threadIdx.x; i < kAll; i += blockDim.x) {  // whole warps: kAll is a multiple of 32
      const uint32_t row = i / kUnits, unit = i % kUnits;
      Unit keys = {}, values = {};
      const bool there = row < tokens && unit * kUnit < head_width;
      if (there) {
        const int64_t at = static_cast<int64_t>(row) * pitch + unit * kUnit;
        keys = *reinterpret_cast<const Unit*>(key + at);
        values = *reinterpret_cast<const Unit*>(value + at);
      }
      *reinterpret_cast<Unit*>(shared + KeyRows::Offset(row, unit * kUnit / 16) + unit * kUnit % 16) = keys;
      StoreValues(row, unit * kUnit, there, values);
      StoreOrigin<kUnits>(row, unit, SumOf(keys));
    }
  }

 private:
  static __device__ __forceinline__ uint32_t SumOf(uint32_t codes) { return __dp4a(codes, 0x01010101u, 0u); }
  static __device__ __forceinline__ uint32_t SumOf(uint4 codes) {
    return SumOf(codes.x) + SumOf(codes.y) + SumOf(codes.z) + SumOf(codes.w);
  }
  __device__ __forceinline__ void StoreValues(uint32_t row, uint32_t column, bool there, uint32_t codes) const {
    StoreValue(row, column, there ? Centred<0>(codes, value_offset) : 0);
    StoreValue(row, column + 2, there ? Centred<2>(codes, value_offset) : 0);
  }
  __device__ __forceinline__ void StoreValues(uint32_t row, uint32_t column, bool there, uint4 codes) const {
    StoreValues(row, column, there, codes.x);
    StoreValues(row, column + 4, there, codes.y);
    StoreValues(row, column + 8, there, codes.z);
    StoreValues(row, column + 12, there, codes.w);
  }
  __device__ __forceinline__ void StoreValue(uint32_t row, uint32_t column, uint32_t pair) const {
    const uint32_t thread = column / (kWidth / 4), piece = column % (kWidth / 4) / 2;
    *reinterpret_cast<uint32_t*>(shared + kValues + ValueRows::Offset(row, piece) + thread * 4) = pair;
  }
  template <int kUnits>
  __device__ __forceinline__ void StoreOrigin(uint32_t row, uint32_t unit, uint32_t sum) const {
#pragma unroll
    for (int lanes = 1; lanes < kUnits; lanes *= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
    if (unit != 0) return;
    const uint32_t first = row < tokens ? origin - query_zero * sum : kNoScore;
    uint32_t* at = reinterpret_cast<uint32_t*>(shared + kOrigins) + row / 2 * 4 + row % 2;
    at[0] = at[2] = first;
  }
};

}  // namespace
}  // namespace qwt
