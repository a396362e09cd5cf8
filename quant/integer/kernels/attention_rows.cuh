// Sixteen queries of a head over all its keys, by one warp: scores stay in its registers, and bound how many warps run
// at once.
#pragma once

#include "quant/integer/kernels/attention_tile.cuh"

namespace qwt {
namespace {

// A thread holds of every eight keys 8j those at 2t and 2t + 1 (t: its place among four), of rows g and g + 8 (g: which
// four): numbers [0], [1] and [2], [3].
template <int kTiles, int kWidth, bool kLogSqrt2, bool kBiased>
struct Rows {
  using Tile = HeadTile<kTiles * 8, kWidth>;
  static constexpr int kDepths = kWidth / 32, kEight = 8 * 2 * kWidth;  // kEight: bytes of eight keys' values
  // Biases of few keys stay in registers for one window after the other.
  static constexpr bool kHeld = kBiased && kTiles <= 8;

  const AttentionArguments& p;
  const AttentionConstants& c;
  uint32_t shared;
  int head, mask, first_row;
  float held[kHeld ? kTiles : 1][4];

  __device__ __forceinline__ Rows(const AttentionArguments& p, const AttentionConstants& c, const char* tile, int head,
                                  int mask)
      : p(p), c(c), shared(SharedAddress(tile)), head(head), mask(mask), first_row(0) {}

  __device__ __forceinline__ void Start(int row) {
    first_row = row;
    if constexpr (kHeld) {
      const uint32_t lane = ReadLane();
#pragma unroll
      for (int i = 0; i < kTiles * 4; ++i) held[i / 4][i % 4] = BiasOf(lane, i / 4, i % 4);
    }
  }

  __device__ __forceinline__ void Run(int window) const {
    float s[kTiles][4], log2_total[2];
    Scores(window, s);
    Total(s, log2_total);
    uint32_t weights[kTiles][2];
    Quantise(s, log2_total, weights);
    uint32_t codes[2][kWidth / 16];
#pragma unroll 1  // else what one group computes is kept for the next, in registers that are not there
    for (int group = 0; group < kWidth / 32; ++group) {
      float sums[4][4];
      Mix(weights, group, sums);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if constexpr (kWidth == 64) {
          codes[half][0] = codes[half][2];
          codes[half][1] = codes[half][3];
        }
        codes[half][kWidth / 16 - 2] = CodesOf(sums[0], sums[1], half * 2);
        codes[half][kWidth / 16 - 1] = CodesOf(sums[2], sums[3], half * 2);
      }
    }
    Write(Anew(window), codes);
  }

 private:
  __device__ __forceinline__ int Row(uint32_t lane, int half) const {
    return first_row + static_cast<int>(lane / 4) + half * 8;
  }

  // The lane's first row among all windows'.
  __device__ __forceinline__ int64_t RowAt(int window, uint32_t lane) const { return window * c.tokens + Row(lane, 0); }

  // Bias and mask of a score, times log2 e; 0 beyond the window.
  __device__ __forceinline__ float BiasOf(uint32_t lane, int j, int i) const {
    const int row = Row(lane, i / 2), key = j * 8 + static_cast<int>(lane % 4) * 2 + i % 2, tokens = c.tokens;
    if (row >= tokens || key >= tokens) return 0;
    float bias = p.bias == nullptr ? 0.0f : p.bias[(head * tokens + row) * tokens + key];
    if (p.mask != nullptr) bias += p.mask[(mask * tokens + row) * tokens + key];
    return bias * 1.44269504088896340736f;
  }

  __device__ __forceinline__ void LoadQuery(int window, uint32_t lane, uint32_t (&query)[kDepths][4]) const {
    const uint8_t* codes = p.codes + RowAt(window, lane) * c.pitch + Anew(head) * c.head_width;
#pragma unroll
    for (int i = 0; i < kDepths * 4; ++i) {
      const int column = i / 4 * 32 + i % 4 / 2 * 16 + static_cast<int>(lane % 4) * 4;
      const bool there = Row(lane, i % 2) < c.tokens && column < c.head_width;
      query[i / 4][i % 4] = there ? *reinterpret_cast<const uint32_t*>(codes + i % 2 * 8 * c.pitch + column) : 0;
    }
  }

  // Σ query · key and what it begins with, of all keys: bits of floats. Sixteen keys at a time; depth after depth, so
  // that few of their registers are needed at once.
  __device__ __forceinline__ void Products(uint32_t lane, const uint32_t (&query)[kDepths][4],
                                           uint32_t (&x)[kTiles][4]) const {
    const uint32_t keys = shared + Tile::KeyRows::Offset(lane / 16 * 8 + lane % 8, lane / 8 % 2);
    const uint32_t origins = shared + Tile::kOrigins + lane % 4 * 16;
#pragma unroll
    for (int k = 0; k < kDepths; ++k) {
#pragma unroll
      for (int j = 0; j < kTiles; j += 2) {
        uint32_t b[4];
        LoadMatrices(b, (keys ^ (k << 5)) + j * 8 * kWidth);
#pragma unroll
        for (int i = 0; i < 2 && j + i < kTiles; ++i) {
          if (k == 0) LoadWords(x[j + i], origins + (j + i) * 64);
          MultiplyCodes(x[j + i], query[k], b[2 * i], b[2 * i + 1]);
        }
      }
    }
  }

  // s: scores less the row's largest, in steps or, with biases, in powers of 2.
  __device__ __forceinline__ void Scores(int window, float (&s)[kTiles][4]) const {
    const uint32_t lane = ReadLane();
    uint32_t query[kDepths][4], x[kTiles][4];
    LoadQuery(Anew(window), lane, query);
    Products(lane, query, x);
    float origin[2];
    if constexpr (kBiased) RowOrigins(query, origin);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        s[j][i] = __uint_as_float(x[j][i]);
        if constexpr (kBiased)
          s[j][i] = fmaf(s[j][i] - origin[i / 2], c.per_step, kHeld ? held[j][i] : BiasOf(lane, j, i));
      }
    }
    float most[2];
    LargestOf(s, most);
#pragma unroll
    for (int i = 0; i < kTiles * 4; ++i) s[i / 4][i % 4] -= most[i % 4 / 2];
  }

  // What a row's scores have in common, so that they are small: key_zero · Σ (query - query_zero), by any key_zero.
  __device__ __forceinline__ void RowOrigins(const uint32_t (&query)[kDepths][4], float (&origin)[2]) const {
    const int key_zero = static_cast<int>(fminf(fmaxf(p.key_zero, 0.0f), 255.0f));
    const int zeros = c.head_width * static_cast<int>(p.query_zero);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      uint32_t sum = 0;
#pragma unroll
      for (int k = 0; k < kDepths; ++k) {
        sum = __dp4a(query[k][i], 0x01010101u, __dp4a(query[k][i + 2], 0x01010101u, sum));
      }
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      origin[i] = __uint_as_float(c.origin + key_zero * (static_cast<int>(sum) - zeros));
    }
  }

  // Of four threads' keys. Without biases the floats are above 0 but where there is no key: their bits have their
  // order.
  __device__ __forceinline__ void LargestOf(const float (&s)[kTiles][4], float (&most)[2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      most[i] = fmaxf(s[0][2 * i], s[0][2 * i + 1]);
#pragma unroll
      for (int j = 1; j < kTiles; ++j) {
        most[i] = kBiased ? fmaxf(most[i], fmaxf(s[j][2 * i], s[j][2 * i + 1]))
                          : __int_as_float(Largest(__float_as_int(most[i]), __float_as_int(s[j][2 * i]),
                                                   __float_as_int(s[j][2 * i + 1])));
      }
      most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 1));
      most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 2));
    }
  }

  __device__ __forceinline__ float Exponent(float s) const { return kBiased ? s : s * c.per_step; }

  __device__ __forceinline__ void Total(const float (&s)[kTiles][4], float (&log2_total)[2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float total[2] = {0, 0};
#pragma unroll
      for (int j = 0; j < kTiles * 2; ++j) total[j % 2] += Exp2(Exponent(s[j / 2][2 * i + j % 2]));
      total[0] += total[1];
      total[0] += __shfl_xor_sync(~0u, total[0], 1);
      total[0] += __shfl_xor_sync(~0u, total[0], 2);
      log2_total[i] = log2f(total[0]);
    }
  }

  // Pairs of bfloat16 as the matrix units' first operand.
  __device__ __forceinline__ void Quantise(const float (&s)[kTiles][4], const float (&log2_total)[2],
                                           uint32_t (&weights)[kTiles][2]) const {
    const float factor = (kBiased ? 1.0f : c.per_step) / 128;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float one = 1.0f - (log2_total[i] + c.log2_scale) / 128;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const float first = s[j][2 * i], second = s[j][2 * i + 1];
        weights[j][i] = kLogSqrt2 ? PowersOf(first, second, factor, one, c)
                                  : UniformOf(Exp2(Exponent(first) - log2_total[i]),
                                              Exp2(Exponent(second) - log2_total[i]), p.uniform);
      }
    }
  }

  // sums: Σ p̂ · value of the group's 32 columns, 8j + 2t and the next as Tile orders them.
  __device__ __forceinline__ void Mix(const uint32_t (&weights)[kTiles][2], int group, float (&sums)[4][4]) const {
    const uint32_t lane = ReadLane();
    const uint32_t values = ValuesAt(lane % 16, lane / 16, group);
    float without_half[kLogSqrt2 ? 4 : 1][4];
#pragma unroll
    for (int i = 0; i < 16; ++i) sums[i / 4][i % 4] = without_half[kLogSqrt2 ? i / 4 : 0][i % 4] = 0;
#pragma unroll
    for (int j = 0; j + 1 < kTiles; j += 2) {
      const uint32_t a[4] = {weights[j][0], weights[j][1], weights[j + 1][0], weights[j + 1][1]};
      const uint32_t powers[4] = {WithoutHalf(a[0]), WithoutHalf(a[1]), WithoutHalf(a[2]), WithoutHalf(a[3])};
#pragma unroll
      for (int d = 0; d < 4; d += 2) {
        uint32_t b[4];
        LoadMatricesTransposed(b, (values ^ (d << 4)) + j * kEight);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          Multiply(sums[d + i], a, b[2 * i], b[2 * i + 1]);
          if constexpr (kLogSqrt2) Multiply(without_half[d + i], powers, b[2 * i], b[2 * i + 1]);
        }
      }
    }
    if constexpr (kTiles % 2 == 1) {
      const uint32_t(&a)[2] = weights[kTiles - 1], powers[2] = {WithoutHalf(a[0]), WithoutHalf(a[1])};
      uint32_t b[4];
      LoadMatricesTransposed(b, ValuesAt(lane % 8, lane / 8, group) + (kTiles - 1) * kEight);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        Multiply(sums[i], a, b[i]);
        if constexpr (kLogSqrt2) Multiply(without_half[i], powers, b[i]);
      }
    }
    if constexpr (kLogSqrt2) {
#pragma unroll
      for (int i = 0; i < 16; ++i) sums[i / 4][i % 4] = LogSqrt2Sum(sums[i / 4][i % 4], without_half[i / 4][i % 4]);
    }
  }
  // Where a lane reads values from, of a row and of one of the group's four pieces.
  __device__ __forceinline__ uint32_t ValuesAt(int row, int piece, int group) const {
    return (shared + Tile::kValues + Tile::ValueRows::Offset(row, piece)) ^ (group << 6);
  }

  // Of four columns side by side, of sums' numbers i and i + 1.
  __device__ __forceinline__ uint32_t CodesOf(const float (&a)[4], const float (&b)[4], int i) const {
    return PackedCarriers(a[i] * c.unit, a[i + 1] * c.unit, b[i] * c.unit, b[i + 1] * c.unit, p.carrier);
  }

  // A thread's columns are kWidth / 4 side by side.
  __device__ __forceinline__ void Write(int window, const uint32_t (&codes)[2][kWidth / 16]) const {
    const uint32_t lane = ReadLane();
    const int column = static_cast<int>(lane % 4) * (kWidth / 4);
    uint8_t* out = p.out + RowAt(window, lane) * c.out_pitch + Anew(head) * c.head_width + column;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (Row(lane, half) >= c.tokens) continue;
      uint8_t* to = out + half * 8 * c.out_pitch;
      if (c.wide) {
        StoreAll(to, codes[half]);
        continue;
      }
#pragma unroll
      for (int w = 0; w < kWidth / 16; ++w) {
        if (column + 4 * w < c.head_width) reinterpret_cast<uint32_t*>(to)[w] = codes[half][w];
      }
    }
  }
  static __device__ __forceinline__ void StoreAll(uint8_t* out, const uint32_t (&words)[4]) {
    *reinterpret_cast<uint4*>(out) = make_uint4(words[0], words[1], words[2], words[3]);
  }
  static __device__ __forceinline__ void StoreAll(uint8_t* out, const uint32_t (&words)[2]) {
    *reinterpret_cast<uint2*>(out) = make_uint2(words[0], words[1]);
  }
};

}  // namespace
}  // namespace qwt
