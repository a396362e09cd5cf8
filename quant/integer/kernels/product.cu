// Products of uint8 carriers with int8 weights in int32, on the matrix units, and what follows them.
//
// A block makes a tile of 128 x 128 outputs. Pieces of both operands, 128 bytes deep, go through kStages buffers in
// shared memory; where the GPU has them (sm_90a), two warpgroups multiply them by wgmma, else eight warps by mma. Row
// sums, where weights have zero points of their own, are taken from the same buffers.
#include <cuda_fp16.h>

#include "quant/integer/kernels/device.cuh"
#include "quant/integer/kernels/wgmma.cuh"

namespace qwt {
namespace {

constexpr int kTile = 128, kDepth = 128, kThreads = 256, kStages = 3;
constexpr int kOperandBytes = kTile * kDepth, kStageBytes = 2 * kOperandBytes;
constexpr int kSharedBytes = kStages * kStageBytes + 1024;  // the buffers begin at a multiple of 1024
constexpr int kCodePitch = kTile + 16;                      // of the tile of codes on its way out

enum class Output { kFloat, kCodes };

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
  uint4 bits[2];
  const uint32_t* codes;  // by four bits: end_code in the bytes of those that are set

  // Of rows `row` and `row` + 8 of the matrix.
  __device__ __forceinline__ void Load(const ProductArguments& p, int64_t row, int piece) {
    const int word = piece * (kDepth / 32), words = static_cast<int>((p.depth + 31) / 32);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      bits[i] = make_uint4(0, 0, 0, 0);
      if (row + 8 * i >= p.rows) continue;
      bits[i] = *reinterpret_cast<const uint4*>(p.a + (row + 8 * i) * p.a_pitch + p.ends_offset + word * 4);
      if (word + 1 >= words) bits[i].y = 0;
      if (word + 2 >= words) bits[i].z = 0;
      if (word + 3 >= words) bits[i].w = 0;
    }
  }

  // A matrix unit's operand of 32 codes: end_code where there is an end, else 0.
  __device__ __forceinline__ void Fragment(int k, uint32_t (&a)[4]) const {
    const int first = threadIdx.x % 4 * 4;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint4& row = bits[i % 2];
      const uint32_t word = k == 0 ? row.x : k == 1 ? row.y : k == 2 ? row.z : row.w;
      a[i] = codes[word >> (first + i / 2 * 16) & 15];
    }
  }
  __device__ __forceinline__ int Count(int i) const {
    return __popc(bits[i].x) + __popc(bits[i].y) + __popc(bits[i].z) + __popc(bits[i].w);
  }
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
__device__ __forceinline__ void FinishPiece() { WarpgroupWait<0>(); }
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
__device__ __forceinline__ void FinishPiece() {}
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
  int64_t rows[Layout::kRows];
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    const int64_t m = first_row + layout.Row(r);
    rows[r] = m < p.rows ? Mapped(p.map, m) * p.columns : -1;
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
        if (p.residual != nullptr) v[i][r] = LoadPair(p.residual + rows[r] + n, even);
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
            const float residual = p.residual == nullptr ? 0.0f : p.residual[rows[r] + n + 1];
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

// A block's way through the pieces of both operands.
struct Pieces {
  const ProductArguments& p;
  int64_t first_row, first_column;
  uint32_t address;  // of the buffers
  Copier a, w;
  int count;
  bool again;  // whether weights are read a second time for the ends: where all are in shared memory still, they are not

  __device__ __forceinline__ uint32_t Buffer(int step) const {
    return address + (again ? step % kStages : step % count) * kStageBytes;
  }
  // step: a piece, and after them the pieces once more.
  __device__ __forceinline__ void Copy(int step) const {
    const uint32_t buffer = address + step % kStages * kStageBytes;
    if (step < count) a.Copy(buffer, step);
    if (step < count || (again && step < 2 * count)) w.Copy(buffer + kOperandBytes, step % count);
    CommitCopies();
  }
  __device__ __forceinline__ void Await() const {
    WaitForCopies<kStages - 2>();
#ifdef QWT_WGMMA
    FenceForMatrixUnits();
#endif
    __syncthreads();  // the piece is there, and the one before it is no longer read
  }
};

// acc = end_multiplier · acc + what the ends add. counts: ends of each row of the tile, or null.
__device__ __forceinline__ void AddEnds(const Pieces& pieces, const uint32_t* codes, int32_t (&acc)[64],
                                        int32_t* counts) {
  const ProductArguments& p = pieces.p;
  const Layout layout;
#ifdef QWT_WGMMA
  constexpr int kSets = 1;
#else
  constexpr int kSets = 2;
#endif
  int count[2 * kSets] = {};
#pragma unroll
  for (int i = 0; i < 64; ++i) acc[i] *= p.end_multiplier;
  for (int piece = 0; piece < pieces.count; ++piece) {
    const int step = pieces.count + piece;
    Ends ends[kSets];
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
      ends[i].codes = codes;
      ends[i].Load(p, pieces.first_row + layout.row + i * 16, piece);
    }
    pieces.Await();
#ifdef QWT_WGMMA
    MultiplyEnds(pieces.Buffer(step), ends[0], acc);
#else
    MultiplyEnds(pieces.Buffer(step), ends, acc);
#endif
    pieces.Copy(step + kStages - 1);
#pragma unroll
    for (int i = 0; i < 2 * kSets; ++i) count[i] += ends[i / 2].Count(i % 2);
    FinishPiece();
  }
  if (counts == nullptr || layout.column != 0) return;
#pragma unroll
  for (int i = 0; i < 2 * kSets; ++i) counts[layout.row + i * 8] = count[i];
}

// Brings the tile of the residual, which is wanted last, to the GPU's second-level cache.
__device__ __forceinline__ void PrefetchResidual(const ProductArguments& p, int64_t first_row, int64_t first_column) {
  const int64_t m = first_row + threadIdx.x / 2, n = first_column + threadIdx.x % 2 * 64;
  if (p.residual == nullptr || m >= p.rows || n >= p.columns) return;
  const float* from = p.residual + Mapped(p.map, m) * p.columns + n;
  asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
  if (n + 32 < p.columns) asm volatile("prefetch.global.L2 [%0];" ::"l"(from + 32));
}

template <Output kOutput, Activation kActivation, bool kRowSums, bool kEnds>
__global__ void __launch_bounds__(kThreads, 2) Product(const __grid_constant__ ProductArguments p) {
  extern __shared__ char shared[];
  __shared__ int32_t row_sums[kRowSums ? 2 * kTile : 1];
  __shared__ __align__(8) Columns columns;
  __shared__ uint32_t end_codes[16];
  char* buffers = shared + (-SharedAddress(shared) & 1023);
  const int64_t tiles = (p.columns + kTile - 1) / kTile;
  const int count = static_cast<int>((p.depth + kDepth - 1) / kDepth);
  const int64_t first_row = blockIdx.x / tiles * kTile, first_column = blockIdx.x % tiles * kTile;
  const int depth = static_cast<int>((p.depth + 15) / 16 * 16);
  const Pieces pieces{p,
                      first_row,
                      first_column,
                      SharedAddress(buffers),
                      Copier(p.a, first_row, p.rows, p.a_pitch, depth),
                      Copier(p.w, first_column, p.columns, p.w_pitch, depth),
                      count,
                      kEnds && count > kStages};
  for (int piece = 0; piece < kStages - 1; ++piece) pieces.Copy(piece);
  columns.Load<kOutput>(p, first_column);
  if (kEnds && threadIdx.x < 16) end_codes[threadIdx.x] = (threadIdx.x * 0x00204081u & 0x01010101u) * p.end_code;
  if (kOutput == Output::kFloat) PrefetchResidual(p, first_row, first_column);
  int32_t acc[64], sum = 0;
  for (int piece = 0; piece < count; ++piece) {
    pieces.Await();
    MultiplyPiece(pieces.address + piece % kStages * kStageBytes, piece == 0, acc);
    pieces.Copy(piece + kStages - 1);
    if (kRowSums) sum = RowSum(buffers + piece % kStages * kStageBytes, p.depth - piece * kDepth, sum);
    FinishPiece();
  }
  if (kEnds) AddEnds(pieces, end_codes, acc, kRowSums ? row_sums + kTile : nullptr);
  WaitForCopies<0>();
  if (kRowSums) {
    sum += __shfl_xor_sync(~0u, sum, 1);
    if (threadIdx.x % 2 == 0) row_sums[threadIdx.x / 2] = sum;
  }
  __syncthreads();
  if (kOutput == Output::kFloat) {
    WriteFloats<kRowSums, kEnds>(p, acc, first_row, first_column, columns, row_sums);
  } else {
    WriteCodes<kRowSums, kEnds, kActivation>(p, acc, first_row, first_column, columns, row_sums, buffers);
  }
}

template <Output kOutput, Activation kActivation, bool kRowSums, bool kEnds>
void Launch(const ProductArguments& p, cudaStream_t stream) {
  const auto kernel = Product<kOutput, kActivation, kRowSums, kEnds>;
  static const cudaError_t allowed = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (allowed != cudaSuccess) throw std::runtime_error(std::string("product on the GPU: ") + cudaGetErrorString(allowed));
  const int64_t blocks = (p.rows + kTile - 1) / kTile * ((p.columns + kTile - 1) / kTile);
  kernel<<<static_cast<unsigned>(blocks), kThreads, kSharedBytes, stream>>>(p);
  CheckLaunch("product");
}

template <Output kOutput, Activation kActivation>
void Launch(const ProductArguments& p, cudaStream_t stream) {
  const bool row_sums = p.row_sum_scale != nullptr, ends = p.ends_offset > 0;
  if (row_sums && ends) {
    Launch<kOutput, kActivation, true, true>(p, stream);
  } else if (row_sums) {
    Launch<kOutput, kActivation, true, false>(p, stream);
  } else if (ends) {
    Launch<kOutput, kActivation, false, true>(p, stream);
  } else {
    Launch<kOutput, kActivation, false, false>(p, stream);
  }
}

}  // namespace

void ProductOnGpu(const ProductArguments& p, void* stream) {
  if (p.rows == 0 || p.columns == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  if (p.codes == nullptr) return Launch<Output::kFloat, Activation::kNone>(p, queue);
  switch (p.activation) {
    case Activation::kNone: return Launch<Output::kCodes, Activation::kNone>(p, queue);
    case Activation::kGelu: return Launch<Output::kCodes, Activation::kGelu>(p, queue);
    case Activation::kRelu: return Launch<Output::kCodes, Activation::kRelu>(p, queue);
  }
}

}  // namespace qwt
