// QwT's linear compensation of token blocks (arXiv 2411.13918, section 3): Y ≈ Ŷ + X·W + b with W, b the least-squares
// solution over all tokens of the fit images. X·W in float16 and b in float32, as the official code runs them.
//
// Deviations from the official code, both towards what it means to do: the sums and the solve are float64 and
// rank-revealing (its float32 inverse fails on the singular Grams of first blocks), and the gate sees the weights as
// stored, so that a solution that float16 cannot hold is not kept.
#include <algorithm>
#include <memory>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/matmul.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "qwt/block_residual.h"
#include "qwt/compensator.h"
#include "qwt/compensators/common/least_squares_fit.h"

namespace qwt {
namespace {

class Linear : public Compensator {
 public:
  explicit Linear(const Options& options) : options_(ReadFitOptions(options)) {}

  absl::Status Check(const Graph& graph, int64_t images) const override {
    QWT_RETURN_IF_ERROR(Annotate(CheckTokenBlocks(graph), "linear"));
    return options_.CheckImages(images);
  }

  int64_t FitBytes(const Graph& graph, int64_t images_in_flight) const override {
    const auto shapes = BlockShapes(graph);
    int64_t most = 0;
    if (!shapes.ok()) return most;
    for (const auto& [input, output] : *shapes) {
      most = std::max(most, LeastSquaresBytes(options_, /*groups=*/1, input.back(), output.back(), /*positions=*/0,
                                              images_in_flight * output[1]));
    }
    return most;
  }

  std::string SumsText() const override { return absl::StrCat("linear ", options_.SumsText()); }

  absl::StatusOr<std::unique_ptr<BlockFit>> Begin(const Graph& graph, int block_index) const override {
    QWT_CHECK(block_index >= 0 && block_index < graph.blocks.size());
    LeastSquaresLayer layer;
    layer.inputs = [](const at::Tensor& x) { return x.unsqueeze(0); };
    layer.targets = [](const at::Tensor& residual) { return residual.unsqueeze(0); };
    layer.stored_weight = [](const at::Tensor& weight) { return weight.select(0, 0); };
    return MakeLeastSquaresFit(graph.blocks[block_index].name, block_index, options_, std::move(layer));
  }

  // y_quant + X·W + b. With float16 weights: X and W rounded to float16, the sums of the product in float32, the
  // product rounded to float16: what a GPU's float16 GEMM gives. CPUs lack that, so there it is made of float32.
  at::Tensor Apply(const BlockSolution& solution, const at::Tensor& x, const at::Tensor& y_quant) const override {
    if (!solution.kept) return y_quant;
    const at::Tensor& weight = solution.tensors.at("weight");
    const at::ScalarType storage = weight.scalar_type();
    const at::Tensor rounded = x.to(storage);
    const at::Tensor product = x.is_cpu() ? at::matmul(rounded.to(at::kFloat), weight.to(at::kFloat)).to(storage)
                                          : at::matmul(rounded, weight);
    // The sum of float32 and float16 is of the latter as float32, without a copy of it.
    return (y_quant + product).add_(solution.tensors.at("bias"));
  }

  std::optional<AddedProduct> Added(const BlockSolution& solution) const override {
    const at::Tensor& weight = solution.tensors.at("weight");
    if (!solution.kept || weight.scalar_type() != at::kHalf) return std::nullopt;
    return AddedProduct{weight, solution.tensors.at("bias")};
  }

 private:
  const FitOptions options_;
};

const bool registered = CompensatorRegistry::Get().Register(
    {{"linear", "QwT: a linear layer beside each block of tokens, W and b by least squares (arXiv 2411.13918).",
      Schema{FitOptionList("0",
                           "λ of λ‖W‖² beside the squared error, on sums over all tokens; 0, as published, is plain "
                           "least squares, of least norm where the inputs are linearly dependent.")}},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<Compensator>> {
       return std::make_unique<Linear>(options);
     }});

}  // namespace
}  // namespace qwt
