// QwT's linear compensation of token blocks (arXiv 2411.13918, section 3): Y ≈ Ŷ + X·W + b with W, b the least-squares
// solution over all tokens of all fit images. X·W in float16 and b in float32, as the official code runs them.
//
// Deviations from the official code, both towards what it means to do: the sums and the solve are float64 and
// rank-revealing (its float32 inverse fails on the singular Grams of first blocks), and the gate sees the weights as
// stored, so that a solution that float16 cannot hold is not kept.
#include <memory>
#include <string>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/tensor/parallel.h"
#include "qwt/block_residual.h"
#include "qwt/compensator.h"
#include "qwt/normal_equations.h"

namespace qwt {
namespace {

class LinearFit : public BlockFit {
 public:
  LinearFit(std::string block, int index, int64_t start_block, at::ScalarType storage)
      : block_(std::move(block)), index_(index), start_block_(start_block), storage_(storage) {}

  absl::Status Accumulate(const at::Tensor& x, const at::Tensor& y_float, const at::Tensor& y_quant) override {
    return CatchExceptions(absl::StrCat("block ", block_), [&] {
      QWT_ASSIGN_OR_RETURN(at::Tensor residual, BlockResidual(block_, x, y_float, y_quant));
      equations_.Add(x, residual);
      return absl::OkStatus();
    });
  }

  absl::Status Reduce(Communicator& comm) override {
    return CatchExceptions(absl::StrCat("block ", block_),
                           [&] { return Annotate(equations_.Reduce(comm), absl::StrCat("block ", block_)); });
  }

  absl::StatusOr<BlockSolution> Solve() const override {
    BlockSolution solution;
    // On one thread: the products below must not depend on how many there are.
    absl::Status status = ParallelFor(1, 1, [&](int64_t) { return SolveInto(&solution); });
    if (!status.ok()) return Annotate(status, absl::StrCat("block ", block_));
    return solution;
  }

 private:
  absl::Status SolveInto(BlockSolution* solution) const {
    QWT_ASSIGN_OR_RETURN(const LeastSquares exact, equations_.Solve());
    solution->block = block_;
    solution->rank = exact.rank;
    solution->condition = exact.condition;
    solution->samples = equations_.rows();

    // The bias is the best one for the weights as rounded.
    const at::Tensor weight = exact.weight.to(storage_);
    const at::Tensor used_weight = weight.to(at::kDouble);
    const at::Tensor bias = equations_.BestBias(used_weight).to(at::kFloat);
    const double values = static_cast<double>(solution->samples) * bias.numel();
    const double total = equations_.CentredTargetSquares();
    const double exact_r2 = total > 0 ? 1 - equations_.ResidualSquares(exact.weight, exact.bias) / total : 0;
    const bool fits = at::isfinite(weight).all().item<bool>() && at::isfinite(bias).all().item<bool>();
    const double after = fits ? equations_.ResidualSquares(used_weight, bias.to(at::kDouble)) : 0;

    solution->r2 = fits && total > 0 ? 1 - after / total : exact_r2;
    solution->reason = WhyNot(solution->r2, exact_r2, fits, total);
    solution->kept = solution->reason.empty();
    solution->mse_before = equations_.TargetSquares() / values;
    solution->mse_after = solution->kept ? after / values : solution->mse_before;
    solution->tensors["weight"] = solution->kept ? weight : at::zeros_like(weight);
    solution->tensors["bias"] = solution->kept ? bias : at::zeros_like(bias);
    return absl::OkStatus();
  }

  // The gate: why the solution is not used; "" if it is.
  std::string WhyNot(double r2, double exact_r2, bool fits, double total) const {
    if (index_ < start_block_) return absl::StrCat("before start_block ", start_block_);
    if (total == 0) return "the quantisation error does not vary";
    if (!fits) return "the weights are too large for float16; storage: float32 holds them";
    if (r2 > 0) return "";
    if (exact_r2 > 0) {
      return absl::StrCat("R² is ", r2, " once the weights are rounded to float16 (", exact_r2,
                          " before); storage: float32 keeps it");
    }
    return absl::StrCat("R² is ", r2);
  }

  const std::string block_;
  const int index_;
  const int64_t start_block_;
  const at::ScalarType storage_;
  NormalEquations equations_;
};

class Linear : public Compensator {
 public:
  explicit Linear(const Options& options)
      : start_block_(options.Int("start_block")),
        storage_(options.String("storage") == "float16" ? at::kHalf : at::kFloat) {}

  absl::Status Check(const Graph& graph) const override { return Annotate(CheckTokenBlocks(graph), "linear"); }

  absl::StatusOr<std::unique_ptr<BlockFit>> Begin(const Graph& graph, int block_index) const override {
    QWT_CHECK(block_index >= 0 && block_index < graph.blocks.size());
    return std::make_unique<LinearFit>(graph.blocks[block_index].name, block_index, start_block_, storage_);
  }

  // y_quant + X·W + b. With float16 weights: X and W rounded to float16, the sums of the product in float32, the
  // product rounded to float16 (what a GPU's float16 GEMM gives, which CPUs lack).
  at::Tensor Apply(const BlockSolution& solution, const at::Tensor& x, const at::Tensor& y_quant) const override {
    if (!solution.kept) return y_quant;
    const at::Tensor& weight = solution.tensors.at("weight");
    const at::ScalarType storage = weight.scalar_type();
    const at::Tensor product = at::matmul(x.to(storage).to(at::kFloat), weight.to(at::kFloat));
    return y_quant + product.to(storage).to(at::kFloat) + solution.tensors.at("bias");
  }

 private:
  const int64_t start_block_;
  const at::ScalarType storage_;
};

const bool registered = CompensatorRegistry::Get().Register(
    {{"linear", "QwT: a linear layer beside each block, W and b by least squares (arXiv 2411.13918).",
      Schema{{Option::Int("start_block", "Blocks before this one stay uncompensated.").Range(0, 1000).Default("0"),
              Option::String("storage", "How W is stored and X·W computed.")
                  .OneOf({"float16", "float32"})
                  .Default("float16")}}},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<Compensator>> {
       return std::make_unique<Linear>(options);
     }});

}  // namespace
}  // namespace qwt
