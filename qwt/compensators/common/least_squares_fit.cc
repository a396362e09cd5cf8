#include "qwt/compensators/common/least_squares_fit.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/from_blob.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/exact_sum.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "qwt/block_residual.h"
#include "qwt/normal_equations.h"

namespace qwt {
namespace {

// What rounding leaves of a residual that is the same in every image, as a part of its squares.
constexpr double kConstantTolerance = 1e-13;
// Before the names of sums.
constexpr char kFitted[] = "fitted.", kHeldOut[] = "held_out.";
// Rows in float64 that a batch holds at once. Part of what a solution is, to the last bit.
constexpr int64_t kRowBytes = 64 << 20;
// Grams of this many channels and fewer are solved on the CPU wherever they were summed. On a GPU, LibTorch decomposes
// those of more than 32 channels one after the other, each by many small kernels that wait for one another; one thread
// of a CPU takes 0.3 ms for 64 channels and 1.2 ms for 128.
constexpr int64_t kSolvedOnCpu = 128;

// What some images add, or the sums of them all.
struct LayerTerms {
  at::Tensor groups;     // float64 [groups, C + 2, C + 1 + K]; undefined where there are no images
  at::Tensor positions;  // float64, ΣR over images, of the shape mean_by_position; undefined where that is not set
};

LayerTerms SumOf(const LayerTerms& a, const LayerTerms& b) {
  if (!a.groups.defined() || !b.groups.defined()) return a.groups.defined() ? a : b;
  LayerTerms sum = {a.groups + b.groups, {}};
  if (a.positions.defined()) sum.positions = a.positions + b.positions;
  return sum;
}

// The sums of some of the images.
class LayerSums {
 public:
  explicit LayerSums(const LeastSquaresLayer& layer) : layer_(layer) {}

  LayerTerms TermsOf(const at::Tensor& x, const at::Tensor& residual) const {
    LayerTerms terms;
    const int64_t images = x.size(0), at_once = ImagesAtOnce(x, residual);
    for (int64_t first = 0; first < images; first += at_once) {
      const int64_t count = std::min(at_once, images - first);
      const at::Tensor part =
          NormalSums::Terms(layer_.inputs(x.narrow(0, first, count)), layer_.targets(residual.narrow(0, first, count)));
      terms.groups = terms.groups.defined() ? terms.groups + part : part;
    }
    if (!layer_.mean_by_position.empty()) {
      terms.positions = residual.sum(0, /*keepdim=*/false, at::kDouble).contiguous();
    }
    return terms;
  }

  void Add(const LayerTerms& terms) {
    if (!terms.groups.defined()) return;
    groups_.Add(terms.groups);
    if (!terms.positions.defined()) return;
    std::lock_guard<std::mutex> lock(mutex_);
    positions_.Add(terms.positions);
  }

  absl::Status Reduce(Communicator& comm) {
    QWT_RETURN_IF_ERROR(groups_.Reduce(comm));
    if (layer_.mean_by_position.empty()) return absl::OkStatus();
    return positions_.Reduce(comm, layer_.mean_by_position, groups_.device());
  }

  // Rounded to doubles.
  LayerTerms Value() const { return {groups_.Value(), positions_.Value()}; }

  // The sums by name behind `prefix`; nothing where there are no rows.
  void Save(const std::string& prefix, TensorMap* sums) const {
    const LayerTerms value = Value();
    if (NormalEquations(value.groups).rows() == 0) return;
    (*sums)[prefix + "groups"] = value.groups;
    if (value.positions.defined()) (*sums)[prefix + "positions"] = value.positions;
  }

  // Adds what Save made. DataLoss where it is of another layer.
  absl::Status Load(const std::string& prefix, const TensorMap& sums) {
    const auto groups = sums.find(prefix + "groups"), positions = sums.find(prefix + "positions");
    if (groups == sums.end()) return absl::OkStatus();
    const at::Tensor& all = groups->second;
    bool sound = all.scalar_type() == at::kDouble && all.dim() == 3 && all.size(0) == layer_.groups &&
                 all.size(1) > 2 && all.size(2) >= all.size(1);
    if (!layer_.mean_by_position.empty()) {
      sound = sound && positions != sums.end() && positions->second.scalar_type() == at::kDouble &&
              positions->second.sizes() == layer_.mean_by_position;
    }
    if (!sound) return absl::DataLossError(absl::StrCat("'", prefix, "groups' are not the sums of such a layer"));
    LayerTerms terms = {all.contiguous(), {}};
    if (!layer_.mean_by_position.empty()) terms.positions = positions->second.contiguous();
    Add(terms);
    return absl::OkStatus();
  }

 private:
  // As many as make no more than kRowBytes of rows, and at least one.
  int64_t ImagesAtOnce(const at::Tensor& x, const at::Tensor& residual) const {
    const int64_t values = layer_.inputs(x.narrow(0, 0, 1)).numel() + layer_.targets(residual.narrow(0, 0, 1)).numel();
    return std::max<int64_t>(1, kRowBytes / static_cast<int64_t>(values * sizeof(double)));
  }

  const LeastSquaresLayer& layer_;
  NormalSums groups_;
  std::mutex mutex_;
  ExactSum positions_;
};

// What is solved from such sums, and measured on them.
class LayerEquations : public NormalEquations {
 public:
  explicit LayerEquations(const LayerTerms& sums) : NormalEquations(sums.groups), positions_(sums.positions) {}

  // Σ (R − mean R)², the mean as the layer wants it.
  double TotalSquares() const {
    if (rows() == 0 || !positions_.defined()) return CentredTargetSquares();
    const double images = static_cast<double>(rows()) / (positions_.numel() / positions_.size(0));
    const double squares = TargetSquares(), total = squares - positions_.square().sum().item<double>() / images;
    return total > kConstantTolerance * squares ? total : 0;
  }

 private:
  at::Tensor positions_;
};

// A part of a batch; the batch itself where that is all of it.
at::Tensor Select(const at::Tensor& batch, const std::vector<int64_t>& images) {
  if (static_cast<int64_t>(images.size()) == batch.size(0)) return batch;
  const at::Tensor index = at::from_blob(const_cast<int64_t*>(images.data()), {static_cast<int64_t>(images.size())},
                                         at::TensorOptions(at::kLong));
  return batch.index_select(0, index.to(batch.device()));
}

class LeastSquaresFit : public BlockFit {
 public:
  LeastSquaresFit(std::string block, int index, const FitOptions& options, LeastSquaresLayer layer)
      : block_(std::move(block)),
        index_(index),
        options_(options),
        layer_(std::move(layer)),
        fitted_(layer_),
        held_out_(layer_) {}

  absl::Status Accumulate(int64_t first_image, const at::Tensor& x, const at::Tensor& y_float,
                          const at::Tensor& y_quant) override {
    return CatchExceptions(absl::StrCat("block ", block_), [&] {
      QWT_ASSIGN_OR_RETURN(const at::Tensor residual, BlockResidual(block_, x, y_float, y_quant));
      std::vector<int64_t> fitted, held_out;
      for (int64_t i = 0; i < x.size(0); ++i) (options_.HeldOut(first_image + i) ? held_out : fitted).push_back(i);
      // All of a batch or nothing of it: where there is no memory for it, it comes again in parts.
      LayerTerms fitted_terms, held_out_terms;
      if (!fitted.empty()) fitted_terms = fitted_.TermsOf(Select(x, fitted), Select(residual, fitted));
      if (!held_out.empty()) held_out_terms = held_out_.TermsOf(Select(x, held_out), Select(residual, held_out));
      fitted_.Add(fitted_terms);
      held_out_.Add(held_out_terms);
      return absl::OkStatus();
    });
  }

  absl::Status Reduce(Communicator& comm) override {
    return CatchExceptions(absl::StrCat("block ", block_), [&] {
      QWT_RETURN_IF_ERROR(Annotate(fitted_.Reduce(comm), absl::StrCat("block ", block_)));
      return Annotate(held_out_.Reduce(comm), absl::StrCat("block ", block_));
    });
  }

  TensorMap Sums() const override {
    TensorMap sums;
    fitted_.Save(kFitted, &sums);
    held_out_.Save(kHeldOut, &sums);
    return sums;
  }

  absl::Status Restore(const TensorMap& sums) override {
    return CatchExceptions(absl::StrCat("block ", block_), [&] {
      QWT_RETURN_IF_ERROR(Annotate(fitted_.Load(kFitted, sums), absl::StrCat("block ", block_)));
      return Annotate(held_out_.Load(kHeldOut, sums), absl::StrCat("block ", block_));
    });
  }

  absl::StatusOr<BlockSolution> Solve() const override {
    BlockSolution solution;
    // On one thread: the products below must not depend on how many there are.
    absl::Status status = ParallelFor(1, 1, [&](int64_t) { return SolveInto(&solution); });
    if (!status.ok()) return Annotate(status, absl::StrCat("block ", block_));
    return solution;
  }

 private:
  // Of the images that are fitted to and of those kept aside; no gate but one keeps any. Each rounded to doubles first,
  // as they are stored, so that a solution is the same whether they were or not.
  void Divide(LayerTerms* fitted, LayerTerms* held_out) const {
    *fitted = fitted_.Value();
    *held_out = held_out_.Value();
    if (options_.gate != Gate::kHeldOut) {
      *fitted = SumOf(*fitted, *held_out);
      *held_out = {};
    }
    for (LayerTerms* terms : {fitted, held_out}) {
      if (terms->groups.defined() && terms->groups.size(1) - 2 <= kSolvedOnCpu) terms->groups = terms->groups.cpu();
    }
  }

  absl::Status SolveInto(BlockSolution* solution) const {
    LayerTerms fitted_sums, held_out_sums;
    Divide(&fitted_sums, &held_out_sums);
    const LayerEquations fitted(fitted_sums), held_out(held_out_sums);
    if (options_.gate == Gate::kHeldOut && held_out.rows() == 0 && fitted.rows() > 0) {
      return absl::FailedPreconditionError("no images were kept aside, which gate: held_out needs");
    }
    const Ridge ridge = {options_.ridge, layer_.ridge_of_bias};
    QWT_ASSIGN_OR_RETURN(const LeastSquares exact, fitted.Solve(ridge));
    solution->rank = exact.rank;
    solution->condition = exact.condition;
    solution->block = block_;
    solution->samples = fitted.rows();

    // The bias is the best one for the weights as rounded.
    const at::Tensor weight = exact.weight.to(options_.storage), used_weight = weight.to(at::kDouble);
    const at::Tensor bias = fitted.BestBias(used_weight, ridge).to(at::kFloat), used_bias = bias.to(at::kDouble);

    const double values = static_cast<double>(solution->samples) * bias.numel(), total = fitted.TotalSquares();
    GateFigures figures;
    figures.index = index_;
    figures.storable = at::isfinite(weight).all().item<bool>() && at::isfinite(bias).all().item<bool>();
    figures.total_squares = total;
    figures.exact_r2 = total > 0 ? 1 - fitted.ResidualSquares(exact.weight, exact.bias) / total : 0;
    const double after = figures.storable ? fitted.ResidualSquares(used_weight, used_bias) : 0;
    figures.r2 = figures.storable && total > 0 ? 1 - after / total : figures.exact_r2;
    if (figures.storable) MeasureHeldOut(held_out, used_weight, used_bias, &figures, solution);

    solution->r2 = figures.r2;
    solution->reason = WhyNotKept(options_, figures);
    solution->kept = solution->reason.empty();
    solution->mse_before = fitted.TargetSquares() / values;
    solution->mse_after = solution->kept ? after / values : solution->mse_before;
    const at::Tensor stored = layer_.stored_weight(weight).contiguous(), stored_bias = bias.flatten();
    solution->tensors["weight"] = (solution->kept ? stored : at::zeros_like(stored)).cpu();
    solution->tensors["bias"] = (solution->kept ? stored_bias : at::zeros_like(stored_bias)).cpu();
    return absl::OkStatus();
  }

  void MeasureHeldOut(const LayerEquations& held_out, const at::Tensor& weight, const at::Tensor& bias,
                      GateFigures* figures, BlockSolution* solution) const {
    if (held_out.rows() == 0) return;
    const double values = static_cast<double>(held_out.rows()) * bias.numel();
    const double left = held_out.ResidualSquares(weight, bias), total = held_out.TotalSquares();
    figures->held_out_before = held_out.TargetSquares() / values;
    figures->held_out_after = left / values;
    solution->held_out_r2 = total > 0 ? 1 - left / total : 0;
  }

  const std::string block_;
  const int index_;
  const FitOptions options_;
  const LeastSquaresLayer layer_;
  LayerSums fitted_, held_out_;  // of the images that Gate::kHeldOut fits to, and of the others
};

}  // namespace

std::unique_ptr<BlockFit> MakeLeastSquaresFit(std::string block, int index, const FitOptions& options,
                                              LeastSquaresLayer layer) {
  return std::make_unique<LeastSquaresFit>(std::move(block), index, options, std::move(layer));
}

int64_t LeastSquaresBytes(const FitOptions& options, int64_t groups, int64_t inputs, int64_t targets, int64_t positions,
                          int64_t rows) {
  constexpr int64_t kExactParts = 3;  // ExactSum keeps three doubles
  constexpr int64_t kSumsInUse = 4;   // its value, the centred Gram, its eigenvectors, a product of these
  const int64_t sums = groups * (inputs + 2) * (inputs + 1 + targets) + positions;
  constexpr int64_t kSets = 2;  // of the images kept aside and of the others
  const int64_t row = (inputs + 1 + targets) * static_cast<int64_t>(sizeof(double) + 2 * sizeof(float));
  return (kSets * kExactParts + kSumsInUse) * sums * static_cast<int64_t>(sizeof(double)) + rows * groups * row;
}

}  // namespace qwt
