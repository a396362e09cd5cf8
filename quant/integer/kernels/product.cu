// Products of uint8 carriers with int8 weights in int32, on the matrix units, and what follows them.
//
// A block makes a tile of 128 x 128 outputs. Pieces of both operands, 128 bytes deep, go through kStages buffers in
// shared memory; where the GPU has them (sm_90a), two warpgroups multiply them by wgmma, else eight warps by mma. Row
// sums, where weights have zero points of their own, are taken from the same buffers.
#include "quant/integer/kernels/product_hopper.cuh"
#include "quant/integer/kernels/product_output.cuh"

namespace qwt {
namespace {

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
__device__ __forceinline__ void AddEnds(const Pieces& pieces, int32_t (&acc)[64], int32_t* counts) {
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
    for (int i = 0; i < kSets; ++i) ends[i].Load(p, pieces.first_row + layout.row + i * 16, piece);
    pieces.Await();
#ifdef QWT_WGMMA
    MultiplyEnds(pieces.Buffer(step), ends[0], acc);
#else
    MultiplyEnds(pieces.Buffer(step), ends, acc);
#endif
    pieces.Copy(step + kStages - 1);
#pragma unroll
    for (int i = 0; i < 2 * kSets; ++i) count[i] += ends[i / 2].Count(i % 2);
    FinishPiece(acc);
  }
  if (counts == nullptr) return;
#pragma unroll
  for (int i = 0; i < 2 * kSets; ++i) {
    count[i] += __shfl_xor_sync(~0u, count[i], 1);
    count[i] += __shfl_xor_sync(~0u, count[i], 2);
    if (layout.column == 0) counts[layout.row + i * 8] = count[i];
  }
}

// Brings the tile of the residual, which is wanted last, to the GPU's second-level cache.
__device__ __forceinline__ void PrefetchResidual(const ProductArguments& p, int64_t first_row, int64_t first_column) {
  const int64_t m = first_row + threadIdx.x / 2, n = first_column + threadIdx.x % 2 * 64;
  if (p.residual == nullptr || m >= p.rows || n >= p.columns) return;
  const float* from = p.residual + ResidualRow(p, Mapped(p.map, m)) * p.columns + n;
  asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
  if (n + 32 < p.columns) asm volatile("prefetch.global.L2 [%0];" ::"l"(from + 32));
}

template <Output kOutput, Activation kActivation, bool kRowSums, bool kEnds>
__global__ void __launch_bounds__(kThreads, 2) Product(const __grid_constant__ ProductArguments p) {
  extern __shared__ char shared[];
  __shared__ int32_t row_sums[kRowSums ? 2 * kTile : 1];
  __shared__ __align__(8) Columns columns;
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
  if (kOutput == Output::kFloat) PrefetchResidual(p, first_row, first_column);
  int32_t acc[64], sum = 0;
  for (int piece = 0; piece < count; ++piece) {
    pieces.Await();
    MultiplyPiece(pieces.address + piece % kStages * kStageBytes, piece == 0, acc);
    pieces.Copy(piece + kStages - 1);
    if (kRowSums) sum = RowSum(buffers + piece % kStages * kStageBytes, p.depth - piece * kDepth, sum);
    FinishPiece(acc);
  }
  if (kEnds) AddEnds(pieces, acc, kRowSums ? row_sums + kTile : nullptr);
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
  constexpr auto kKernel = Product<kOutput, kActivation, kRowSums, kEnds>;
  AllowSharedMemory<kKernel>(kSharedBytes, "product");
  const int64_t blocks = (p.rows + kTile - 1) / kTile * ((p.columns + kTile - 1) / kTile);
  kKernel<<<static_cast<unsigned>(blocks), kThreads, kSharedBytes, stream>>>(p);
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
  if (ProductOnHopper(p, queue)) return;
  if (p.codes == nullptr) return Launch<Output::kFloat, Activation::kNone>(p, queue);
  switch (p.activation) {
    case Activation::kNone: return Launch<Output::kCodes, Activation::kNone>(p, queue);
    case Activation::kGelu: return Launch<Output::kCodes, Activation::kGelu>(p, queue);
    case Activation::kRelu: return Launch<Output::kCodes, Activation::kRelu>(p, queue);
  }
}

}  // namespace qwt
