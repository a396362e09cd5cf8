// No compensation: measures each block's quantisation error and leaves it.
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/exact_sum.h"
#include "qwt/block_residual.h"
#include "qwt/compensator.h"

namespace qwt {
namespace {

class NoFit : public BlockFit {
 public:
  explicit NoFit(std::string block) : block_(std::move(block)) {}

  absl::Status Accumulate(int64_t, const at::Tensor& x, const at::Tensor& y_float, const at::Tensor& y_quant) override {
    return CatchExceptions(absl::StrCat("block ", block_), [&] {
      QWT_ASSIGN_OR_RETURN(at::Tensor residual, BlockResidual(block_, x, y_float, y_quant));
      residual = residual.to(at::kDouble);
      at::Tensor term = at::empty({3}, at::kDouble);
      double* values = term.mutable_data_ptr<double>();
      values[0] = (residual * residual).sum().item<double>();
      values[1] = residual.numel();
      values[2] = residual.numel() / residual.size(residual.dim() == 4 ? 1 : -1);
      std::lock_guard<std::mutex> lock(mutex_);
      sums_.Add(term);
      return absl::OkStatus();
    });
  }

  absl::Status Reduce(Communicator& comm) override {
    return Annotate(sums_.Reduce(comm, {3}), absl::StrCat("block ", block_));
  }

  absl::StatusOr<BlockSolution> Solve() const override {
    const at::Tensor sums = sums_.Value();
    if (!sums.defined() || sums[1].item<double>() == 0) {
      return absl::FailedPreconditionError(absl::StrCat("block ", block_, ": there are no rows to solve for"));
    }
    BlockSolution solution;
    solution.block = block_;
    solution.reason = "no compensation asked for";
    solution.mse_before = solution.mse_after = sums[0].item<double>() / sums[1].item<double>();
    solution.samples = static_cast<int64_t>(sums[2].item<double>());
    return solution;
  }

  TensorMap Sums() const override { return {{"errors", sums_.Value()}}; }

  absl::Status Restore(const TensorMap& sums) override {
    const auto errors = sums.find("errors");
    if (errors == sums.end() || errors->second.numel() != 3 || errors->second.scalar_type() != at::kDouble) {
      return absl::DataLossError(absl::StrCat("block ", block_, ": there are no sums of its errors"));
    }
    sums_ = ExactSum();
    sums_.Add(errors->second.cpu().contiguous());
    return absl::OkStatus();
  }

 private:
  const std::string block_;
  std::mutex mutex_;
  ExactSum sums_;  // Σ(Y-Ŷ)², values, rows
};

class None : public Compensator {
 public:
  std::string SumsText() const override { return "none"; }
  absl::StatusOr<std::unique_ptr<BlockFit>> Begin(const Graph& graph, int block_index) const override {
    QWT_CHECK(block_index >= 0 && block_index < graph.blocks.size());
    return std::make_unique<NoFit>(graph.blocks[block_index].name);
  }
  at::Tensor Apply(const BlockSolution&, const at::Tensor&, const at::Tensor& y_quant) const override {
    return y_quant;
  }
};

const bool registered = CompensatorRegistry::Get().Register(
    {{"none", "No compensation: each block's quantisation error is measured and left.", Schema{}},
     [](const Options&) -> absl::StatusOr<std::unique_ptr<Compensator>> { return std::make_unique<None>(); }});

}  // namespace
}  // namespace qwt
