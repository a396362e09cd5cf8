// Closed-form compensation of a quantised block (QwT, arXiv 2411.13918): Y ≈ Ŷ + f(X). One folder in qwt/compensators/
// each.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "core/registry/registry.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/integer/added_product.h"

namespace qwt {

// What a fit found for one block.
struct BlockSolution {
  std::string block;                  // "blocks.0"
  bool kept = false;                  // the gate's decision; if not, the block runs uncompensated
  std::string reason;                 // why not kept; "" if kept
  double r2 = 0;                      // on the images fitted to: 1 - Σ(R-R̂)²/Σ(R-mean R)²
  double mse_before = 0;              // mean (Y-Ŷ)² over all values of these images
  double mse_after = 0;               // mean (Y-Ŷ-f(X))²
  std::optional<double> held_out_r2;  // r2 of the same f on the images kept aside; none where none were
  double condition = 0;               // of the Gram as solved, largest / smallest used eigenvalue; of the worst group
  int64_t rank = 0;                   // eigenvalues used, of all groups
  int64_t samples = 0;                // rows (tokens, output positions) fitted to
  // linear: "weight" [C, C'], "bias" float32 [C']; group_conv: "weight" [C', C / groups, k, k], "bias" float32 [C'].
  // Weights float16 or float32. As used: zeros where not kept.
  // On the CPU as solved; to apply it they must lie where x does.
  TensorMap tensors;
};

// Sums of one block over a stream of batches; memory does not grow with the number of images.
class BlockFit {
 public:
  virtual ~BlockFit() = default;
  // x: the block's input; y_float, y_quant: its output in float and quantised, float32; the first dimension is images,
  // those at first_image, first_image + 1, … of the fit's list: which of them are kept aside depends on that alone.
  // All on one device. Thread safe. Adds the whole batch or, where it fails, nothing. InvalidArgument naming the block
  // for NaN or infinity.
  virtual absl::Status Accumulate(int64_t first_image, const at::Tensor& x, const at::Tensor& y_float,
                                  const at::Tensor& y_quant) = 0;
  // The sums of all ranks, on all ranks: to the last bit the same however batches were shared.
  virtual absl::Status Reduce(Communicator& comm) = 0;
  virtual absl::StatusOr<BlockSolution> Solve() const = 0;

  // All that Solve needs of the images, float64, where they lay. Another fit of the same block, whose compensator has
  // the same SumsText(), solves the same from them to the last bit.
  virtual TensorMap Sums() const = 0;
  // In place of Accumulate and Reduce, of what Sums() gave. DataLoss where these are not the sums of such a block.
  virtual absl::Status Restore(const TensorMap& sums) = 0;
};

class Compensator {
 public:
  virtual ~Compensator() = default;
  // InvalidArgument for a network whose blocks it cannot compensate, or not with so few images, saying why. For plans:
  // before anything is computed.
  virtual absl::Status Check(const Graph& graph, int64_t images) const { return absl::OkStatus(); }
  // What a fit of one block holds at most, for plans: its sums, and the rows of the images whose rows are made at once.
  virtual int64_t FitBytes(const Graph& graph, int64_t images_in_flight) const { return 0; }
  // Everything of its options that a block's sums depend on; the others may change without summing again.
  virtual std::string SumsText() const = 0;
  virtual absl::StatusOr<std::unique_ptr<BlockFit>> Begin(const Graph& graph, int block_index) const = 0;
  // The compensated block's output from its input and quantised output. Const and thread safe. Throws what LibTorch
  // throws.
  virtual at::Tensor Apply(const BlockSolution& solution, const at::Tensor& x, const at::Tensor& y_quant) const = 0;
  // What Apply adds, where it is the product of a kept solution with float16 weights: for executors that fuse it.
  virtual std::optional<AddedProduct> Added(const BlockSolution& solution) const { return std::nullopt; }
};

inline constexpr char kCompensatorKind[] = "compensator";
using CompensatorRegistry = Registry<std::unique_ptr<Compensator>, kCompensatorKind>;

}  // namespace qwt
