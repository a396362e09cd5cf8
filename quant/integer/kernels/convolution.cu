// Convolutions of uint8 carriers with int8 weights as products whose rows are gathered while they are read, on tiles of
// 128 output positions by 128 channels (product_tile.cuh).
#include <algorithm>

#include "quant/integer/kernels/convolution_output.cuh"
#include "quant/integer/kernels/convolution_tile.cuh"

namespace qwt {
namespace {

// kCodes: codes alone, of ReLU; kValues: all that ValueTile can write; kProducts: with an addend made of the residual.
enum class Results { kCodes, kValues, kProducts };

// The tile's products, while on their way columns' constants and the residual come too. Returns half a row's sum.
template <typename Gather, Results kResults, bool kRowSums>
__device__ __forceinline__ int32_t MultiplyPieces(const ConvolutionArguments& c, const ValueTile& tile,
                                                  int64_t first_row, int64_t first_column, Columns* columns,
                                                  int32_t (&acc)[64]) {
  const ProductArguments& p = c.product;
  const uint32_t address = SharedAddress(tile.buffers);
  Gather a(c, first_row);
  const Copier w(p.w, first_column, p.columns, p.w_pitch, static_cast<int>(p.depth));
  const auto copy = [&](int step) {
    const uint32_t buffer = address + step % kStages * kStageBytes;
    if (step < tile.count) {
      a.Copy(buffer, step);
      w.Copy(buffer + kOperandBytes, step);
    } else if (kResults != Results::kCodes) {
      tile.CopyResidual(p, step - tile.count, first_row, first_column);
    }
    CommitCopies();
  };
  for (int step = 0; step < kStages - 1; ++step) copy(step);
  columns->Load<kResults == Results::kCodes ? Output::kCodes : Output::kFloat>(p, first_column);
  int32_t sum = 0;
  for (int piece = 0; piece < tile.count; ++piece) {
    const uint32_t buffer = piece % kStages * kStageBytes;
    WaitForCopies<kStages - 2>();
#ifdef QWT_WGMMA
    FenceForMatrixUnits();
#endif
    __syncthreads();  // the piece is there, and the one before it is no longer read
    MultiplyPiece(address + buffer, piece == 0, acc);
    copy(piece + kStages - 1);
    if (kRowSums) sum = WindowSum<Gather::kPadded>(c, tile.buffers + buffer, piece, sum);
    FinishPiece(acc);
  }
  return sum;
}

template <typename Gather, Results kResults, bool kRowSums>
__global__ void __launch_bounds__(kThreads, 2) Convolution(const __grid_constant__ ConvolutionArguments c) {
  extern __shared__ char shared[];
  __shared__ int32_t row_sums[kRowSums ? kTile : 1];
  __shared__ __align__(8) Columns columns;
  const ProductArguments& p = c.product;
  const int64_t tiles = (p.columns + kTile - 1) / kTile;
  const int64_t first_row = blockIdx.x / tiles * kTile, first_column = blockIdx.x % tiles * kTile;
  const ValueTile tile{shared + (-SharedAddress(shared) & 1023), static_cast<int>((p.depth + kDepth - 1) / kDepth)};
  int32_t acc[64];
  int32_t sum = MultiplyPieces<Gather, kResults, kRowSums>(c, tile, first_row, first_column, &columns, acc);
  // Where the last piece was, when all have multiplied it, comes what makes the addend.
  const uint32_t last = SharedAddress(tile.buffers) + (tile.count - 1) % kStages * kStageBytes;
  if (kResults == Results::kProducts) {
    __syncthreads();
    Copier(c.residual_weight, first_column, p.columns, kDepth, kDepth).Copy(last, 0);
    CommitCopies();
  }
  WaitForCopies<0>();
  if (kRowSums) {
    sum += __shfl_xor_sync(~0u, sum, 1);
    if (threadIdx.x % 2 == 0) row_sums[threadIdx.x / 2] = sum;
  }
  __syncthreads();
  if (kResults == Results::kCodes) {
    WriteCodes<kRowSums, false, Activation::kRelu>(p, acc, first_row, first_column, columns, row_sums, tile.buffers);
    return;
  }
  if (kResults == Results::kProducts) {
    tile.AddProduct<kRowSums>(p, acc, columns, row_sums, last);
  } else {
    tile.Add<kRowSums>(p, acc, columns, row_sums);
  }
  __syncthreads();
  tile.Write(c, first_row, first_column);
}

template <typename Gather, Results kResults, bool kRowSums>
void Launch(const ConvolutionArguments& c, cudaStream_t stream) {
  constexpr auto kKernel = Convolution<Gather, kResults, kRowSums>;
  AllowSharedMemory<kKernel>(kSharedBytes, "convolution");
  const int64_t blocks = (c.product.rows + kTile - 1) / kTile * ((c.product.columns + kTile - 1) / kTile);
  kKernel<<<static_cast<unsigned>(blocks), kThreads, kSharedBytes, stream>>>(c);
  CheckLaunch("convolution");
}

template <typename Gather, Results kResults>
void Launch(const ConvolutionArguments& c, cudaStream_t stream) {
  if (c.product.row_sum_scale != nullptr) return Launch<Gather, kResults, true>(c, stream);
  return Launch<Gather, kResults, false>(c, stream);
}

template <typename Gather>
void Launch(const ConvolutionArguments& c, cudaStream_t stream) {
  const ProductArguments& p = c.product;
  if (c.residual_weight != nullptr) return Launch<Gather, Results::kProducts>(c, stream);
  const bool more = p.out != nullptr || p.residual != nullptr || p.addend != nullptr || c.addend_bias != nullptr;
  if (more || p.activation != Activation::kRelu) return Launch<Gather, Results::kValues>(c, stream);
  return Launch<Gather, Results::kCodes>(c, stream);
}

// Whether ProductOnGpu computes the same: a kernel of one pixel at every pixel, one output, nothing after its activation.
bool IsProduct(const ConvolutionArguments& c) {
  const ProductArguments& p = c.product;
  if (c.addend_bias != nullptr || c.residual_weight != nullptr) return false;
  if (p.codes == nullptr) return p.activation == Activation::kNone;
  return p.out == nullptr && p.residual == nullptr && p.addend == nullptr && p.activation == Activation::kRelu;
}

}  // namespace

void ConvolutionOnGpu(const ConvolutionArguments& c, void* stream) {
  const PixelWindows& w = c.windows;
  if (c.product.rows == 0 || c.product.columns == 0) return;
  if (std::max(w.images * w.height * w.width, c.product.rows) >= (int64_t{1} << 31)) {
    throw std::runtime_error("convolution on the GPU: more than 2^31 pixels; take smaller batches");
  }
  if (c.residual_weight != nullptr && (c.product.residual == nullptr || c.product.columns % kResidualGroup != 0)) {
    throw std::runtime_error("convolution on the GPU: an addend of the residual needs one, of whole groups of channels");
  }
  const auto queue = static_cast<cudaStream_t>(stream);
  if (c.product.a_pitch == 4) return Launch<NarrowWindowCopier>(c, queue);
  if (w.kernel != 1 || w.stride != 1 || w.padding != 0) return Launch<WindowCopier>(c, queue);
  if (!IsProduct(c)) return Launch<PixelCopier>(c, queue);
  ProductArguments product = c.product;
  product.depth = c.channels;
  ProductOnGpu(product, stream);
}

}  // namespace qwt
