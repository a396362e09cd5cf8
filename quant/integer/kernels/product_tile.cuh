// A tile of 128 x 128 outputs of a product: how its operands reach shared memory, are multiplied, and lie in registers.
// Of product.cu alone.
#pragma once

#include "quant/integer/kernels/device.cuh"
#include "quant/integer/kernels/wgmma.cuh"

namespace qwt {
namespace {

constexpr int kTile = 128, kDepth = 128, kThreads = 256, kStages = 3;
constexpr int kOperandBytes = kTile * kDepth, kStageBytes = 2 * kOperandBytes;
constexpr int kSharedBytes = kStages * kStageBytes + 1024;  // the buffers begin at a multiple of 1024

// A thread's share of an operand's pieces on their way to shared memory: 16 bytes of every 32nd of the tile's rows.
struct Copier {
  static constexpr int kItems = kOperandBytes / 16 / kThreads, kRowStep = kThreads / 8;
  const char* from;
  int64_t step;
  int rows, depth;  // that are left from here
  uint32_t to;      // in a buffer

  __device__ __forceinline__ Copier(const void* matrix, int64_t first, int64_t all_rows, int64_t pitch, int all_depth) {
    const int row = threadIdx.x / 8, chunk = threadIdx.x % 8;
    from = static_cast<const char*>(matrix) + (first + row) * pitch + chunk * 16;
    step = pitch * kRowStep;
    rows = static_cast<int>(min(all_rows - first - row, static_cast<int64_t>(kTile)));
    depth = all_depth - chunk * 16;
    to = row * kDepth + ((chunk ^ (row & 7)) << 4);
  }
  // Beyond the matrix lie zeros.
  __device__ __forceinline__ void Copy(uint32_t buffer, int piece) const {
    const bool inside = piece * kDepth < depth;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      CopyAsync(buffer + to + i * kRowStep * kDepth, from + i * step + piece * kDepth, inside && i * kRowStep < rows);
    }
  }
};

// Which of a tile's outputs a thread holds: of kRows rows, kColumns pairs of neighbouring columns each.
struct Layout {
  int row, column;
#ifdef QWT_WGMMA
  static constexpr int kRows = 2, kColumns = 16;
  __device__ Layout()
      : row(static_cast<int>(threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4)), column(static_cast<int>(threadIdx.x % 4 * 2)) {}
  static __device__ constexpr int Index(int r, int j) { return (j * 2 + r) * 2; }
#else
  static constexpr int kRows = 4, kColumns = 8;
  __device__ Layout()
      : row(static_cast<int>(threadIdx.x / 32 % 4 * 32 + threadIdx.x % 32 / 4)),
        column(static_cast<int>(threadIdx.x / 128 * 64 + threadIdx.x % 4 * 2)) {}
  static __device__ constexpr int Index(int r, int j) { return ((r / 2 * 8 + j) * 2 + r % 2) * 2; }
#endif
  __device__ int Row(int r) const { return row + r * 8; }
  __device__ int Column(int j) const { return column + j * 8; }
};

// Which codes of two rows of a piece are ends.
struct Ends {
  uint32_t bits[2];
  uint32_t code;  // end_code

  // Of rows `row` and `row` + 8 of the matrix.
  __device__ __forceinline__ void Load(const ProductArguments& p, int64_t row, int piece) {
    code = p.end_code;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      bits[i] = 0;
      if (row + 8 * i >= p.rows) continue;
      const char* words = reinterpret_cast<const char*>(p.a) + (row + 8 * i) * p.a_pitch + p.ends_offset;
      bits[i] = reinterpret_cast<const uint32_t*>(words)[piece * 4 + threadIdx.x % 4];
    }
  }

  // A matrix unit's operand of 32 codes: end_code where there is an end, else 0.
  __device__ __forceinline__ void Fragment(int k, uint32_t (&a)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = (bits[i % 2] >> (k * 2 + i / 2) & 0x01010101u) * code;
  }
  // A quarter of the row's: four threads have one each.
  __device__ __forceinline__ int Count(int i) const { return __popc(bits[i]); }
};

#ifdef QWT_WGMMA
// A warpgroup takes 64 rows.
__device__ __forceinline__ void MultiplyPiece(uint32_t buffer, bool first, int32_t (&acc)[64]) {
  const uint64_t a = TileDescriptor(buffer + threadIdx.x / 128 * 64 * kDepth), b = TileDescriptor(buffer + kOperandBytes);
  WarpgroupArrive();
#pragma unroll
  for (int k = 0; k < kDepth / 32; ++k) MultiplyTiles(acc, a + 2 * k, b + 2 * k, !first || k > 0);
  WarpgroupCommit();
}
// The same rows' ends, in place of their codes.
__device__ __forceinline__ void MultiplyEnds(uint32_t buffer, const Ends& ends, int32_t (&acc)[64]) {
  const uint64_t b = TileDescriptor(buffer + kOperandBytes);
  uint32_t a[kDepth / 32][4];
#pragma unroll
  for (int k = 0; k < kDepth / 32; ++k) ends.Fragment(k, a[k]);
  WarpgroupArrive();
#pragma unroll
  for (int k = 0; k < kDepth / 32; ++k) MultiplyTiles(acc, a[k], b + 2 * k);
  WarpgroupCommit();
}
__device__ __forceinline__ void FinishPiece(int32_t (&acc)[64]) {
  WarpgroupWait<0>();
  FenceSums(acc);
}
#else
__device__ __forceinline__ void Multiply(int32_t* d, const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// A warp takes 32 rows and 64 columns.
__device__ __forceinline__ void MultiplyPiece(uint32_t buffer, bool first, int32_t (&acc)[64]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (first) {
#pragma unroll
    for (int i = 0; i < 64; ++i) acc[i] = 0;
  }
#pragma unroll
  for (int k = 0; k < kDepth / 32; ++k) {
    uint32_t a[2][4], b[4][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = warp % 4 * 32 + i * 16 + lane % 16, chunk = k * 2 + lane / 16;
      LoadMatrices(a[i], buffer + row * kDepth + ((chunk ^ (row & 7)) << 4));
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = warp / 4 * 64 + j * 16 + lane / 16 * 8 + lane % 8, chunk = k * 2 + lane / 8 % 2;
      LoadMatrices(b[j], buffer + kOperandBytes + row * kDepth + ((chunk ^ (row & 7)) << 4));
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) Multiply(acc + (i * 8 + j) * 4, a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
}
__device__ __forceinline__ void MultiplyEnds(uint32_t buffer, const Ends (&ends)[2], int32_t (&acc)[64]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int k = 0; k < kDepth / 32; ++k) {
    uint32_t a[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) ends[i].Fragment(k, a[i]);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      uint32_t b[4];
      const int row = warp / 4 * 64 + j * 16 + lane / 16 * 8 + lane % 8, chunk = k * 2 + lane / 8 % 2;
      LoadMatrices(b, buffer + kOperandBytes + row * kDepth + ((chunk ^ (row & 7)) << 4));
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        Multiply(acc + (i * 8 + 2 * j) * 4, a[i], b[0], b[1]);
        Multiply(acc + (i * 8 + 2 * j + 1) * 4, a[i], b[2], b[3]);
      }
    }
  }
}
__device__ __forceinline__ void FinishPiece(int32_t (&)[64]) {}
#endif

// Half a row's sum over a piece of which `depth` codes count: what lies behind a row's codes is anything.
__device__ __forceinline__ int32_t RowSum(const char* buffer, int64_t depth, int32_t sum) {
  const uint32_t* half = reinterpret_cast<const uint32_t*>(buffer) + threadIdx.x * 16;
  const int row = threadIdx.x / 2;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int piece = (threadIdx.x % 2 * 4 + i / 4) ^ (row & 7), left = static_cast<int>(depth) - piece * 16 - i % 4 * 4;
    const uint32_t ones = left >= 4 ? 0x01010101u : left <= 0 ? 0 : 0x01010101u >> (8 * (4 - left));
    sum = __dp4a(half[i], ones, static_cast<uint32_t>(sum));
  }
  return sum;
}

}  // namespace
}  // namespace qwt
