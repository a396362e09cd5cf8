#include "qwt/normal_equations.h"

#include <algorithm>
#include <tuple>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/linalg_eigh.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/outer.h"
#include "ATen/ops/zeros.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/tensor/parallel.h"

namespace qwt {
namespace {

constexpr double kRankTolerance = 1e-10;
// What rounding leaves of a zero eigenvalue; with a ridge nothing larger has to be dropped.
constexpr double kNoiseTolerance = 1e-14;
// Σ(x − mean)² below this part of Σx² is what float32 and the subtraction leave of a constant.
constexpr double kConstantTolerance = 1e-13;

// Sums of squares about the mean, with what is no more than noise set to zero.
at::Tensor WithoutNoise(const at::Tensor& centred_squares, const at::Tensor& raw_squares) {
  return centred_squares.masked_fill(centred_squares <= raw_squares * kConstantTolerance, 0.0);
}

double BiasRidge(Ridge ridge) { return ridge.of_bias ? ridge.strength : 0; }

LeastSquares SolveCentred(const at::Tensor& xx, const at::Tensor& xr, double ridge) {
  const int64_t channels = xx.size(0);
  auto [eigenvalues, vectors] = at::linalg_eigh(xx);  // in increasing order
  const at::Tensor on_cpu = eigenvalues.cpu();
  const double* values = on_cpu.const_data_ptr<double>();
  const double largest = values[channels - 1];
  const double cut_off = std::max(0.0, (ridge > 0 ? kNoiseTolerance : kRankTolerance) * largest);
  int64_t rank = 0;
  while (largest > 0 && rank < channels && values[channels - 1 - rank] + ridge > cut_off) ++rank;

  LeastSquares solution;
  solution.rank = rank;
  if (rank == 0) {
    solution.weight = at::zeros_like(xr);
    return solution;
  }
  solution.condition = (largest + ridge) / (values[channels - rank] + ridge);
  const at::Tensor used = vectors.narrow(1, channels - rank, rank);
  const at::Tensor scale = eigenvalues.narrow(0, channels - rank, rank).unsqueeze(1) + ridge;
  solution.weight = at::mm(used, at::mm(used.t(), xr) / scale);
  return solution;
}

}  // namespace

at::Tensor NormalEquations::Terms(const at::Tensor& x, const at::Tensor& r) {
  const int64_t inputs = x.size(-1), targets = r.size(-1), rows = x.numel() / std::max<int64_t>(1, inputs);
  const at::TensorOptions exact = x.options().dtype(at::kDouble);
  at::Tensor columns = at::empty({rows, inputs + 1 + targets}, exact);  // X | 1 | R
  columns.narrow(1, 0, inputs).copy_(x.reshape({rows, inputs}));
  columns.narrow(1, inputs, 1).fill_(1);
  at::Tensor target = columns.narrow(1, inputs + 1, targets);
  target.copy_(r.reshape({rows, targets}));

  at::Tensor sums = at::zeros({inputs + 2, inputs + 1 + targets}, exact);
  sums.narrow(0, 0, inputs + 1).copy_(at::mm(columns.narrow(1, 0, inputs + 1).t(), columns));
  sums.select(0, inputs + 1).narrow(0, inputs + 1, targets).copy_((target * target).sum(0));
  return sums;
}

void NormalEquations::Add(const at::Tensor& terms) {
  const int64_t inputs = terms.size(0) - 2, targets = terms.size(1) - 1 - inputs;
  std::lock_guard<std::mutex> lock(mutex_);
  QWT_CHECK(inputs_ == 0 || (inputs_ == inputs && targets_ == targets));
  inputs_ = inputs;
  targets_ = targets;
  device_ = terms.device();
  sums_.Add(terms);
}

absl::Status NormalEquations::Reduce(Communicator& comm) {
  // A rank without rows learns the sizes from the others.
  at::Tensor own = at::empty({3}, at::kLong);
  own.data_ptr<int64_t>()[0] = inputs_;
  own.data_ptr<int64_t>()[1] = targets_;
  own.data_ptr<int64_t>()[2] = device_.is_cuda();
  absl::StatusOr<at::Tensor> gathered = AllGather(own, comm);
  if (!gathered.ok()) return gathered.status();
  const int64_t* sizes = gathered->const_data_ptr<int64_t>();
  for (int rank = 0; rank < comm.size(); ++rank) {
    const int64_t inputs = sizes[3 * rank], targets = sizes[3 * rank + 1];
    if (inputs == 0) continue;
    if (inputs_ != 0 && (inputs != inputs_ || targets != targets_)) {
      return absl::InternalError(absl::StrCat("rank ", rank, " summed ", inputs, " inputs and ", targets,
                                              " targets where others have ", inputs_, " and ", targets_));
    }
    if (inputs_ == 0 && sizes[3 * rank + 2] != 0) device_ = at::Device(at::kCUDA);  // the current one
    inputs_ = inputs;
    targets_ = targets;
  }
  if (inputs_ == 0) return absl::OkStatus();
  return sums_.Reduce(comm, {inputs_ + 2, inputs_ + 1 + targets_}, device_);
}

int64_t NormalEquations::rows() const {
  if (inputs_ == 0) return 0;
  return static_cast<int64_t>(sums_.Value().select(0, inputs_).select(0, inputs_).item<double>());
}

NormalEquations::Centred NormalEquations::Centre(double ridge_of_bias) const {
  const at::Tensor sums = sums_.Value();
  const at::Tensor x_rows = sums.narrow(0, 0, inputs_), ones = sums.select(0, inputs_);
  const at::Tensor x_sum = ones.narrow(0, 0, inputs_), r_sum = ones.narrow(0, inputs_ + 1, targets_);
  const at::Tensor r_squares = sums.select(0, inputs_ + 1).narrow(0, inputs_ + 1, targets_);

  Centred centred;
  centred.rows = ones.select(0, inputs_).item<double>();
  centred.x_mean = x_sum / (centred.rows + ridge_of_bias);
  centred.r_mean = r_sum / (centred.rows + ridge_of_bias);
  const at::Tensor xx = x_rows.narrow(1, 0, inputs_);
  centred.xx = xx - at::outer(centred.x_mean, x_sum);
  centred.xr = x_rows.narrow(1, inputs_ + 1, targets_) - at::outer(centred.x_mean, r_sum);
  centred.rr = WithoutNoise(r_squares - centred.r_mean * r_sum, r_squares);
  // A constant channel's row and column are noise: zero is what they stand for.
  const at::Tensor varies = (WithoutNoise(centred.xx.diagonal(), xx.diagonal()) > 0).to(at::kDouble);
  centred.xx = centred.xx * at::outer(varies, varies);
  centred.xr = centred.xr * varies.unsqueeze(1);
  return centred;
}

absl::StatusOr<LeastSquares> NormalEquations::Solve(Ridge ridge) const {
  if (rows() == 0) return absl::FailedPreconditionError("there are no rows to solve for");
  LeastSquares solution;
  // On one thread, so that the decomposition is the same to the last bit however many there are.
  absl::Status status = ParallelFor(1, 1, [&](int64_t) {
    const Centred centred = Centre(BiasRidge(ridge));
    solution = SolveCentred(centred.xx, centred.xr, ridge.strength);
    solution.bias = BestBias(solution.weight, ridge);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return solution;
}

at::Tensor NormalEquations::BestBias(const at::Tensor& weight, Ridge ridge) const {
  const Centred centred = Centre(BiasRidge(ridge));
  return centred.r_mean - at::mm(centred.x_mean.unsqueeze(0), weight).squeeze(0);
}

double NormalEquations::ResidualSquares(const at::Tensor& weight, const at::Tensor& bias) const {
  if (rows() == 0) return 0;
  const Centred centred = Centre();
  const at::Tensor about_mean =
      centred.rr.sum() - 2 * (weight * centred.xr).sum() + (weight * at::mm(centred.xx, weight)).sum();
  const at::Tensor offset = centred.r_mean - at::mm(centred.x_mean.unsqueeze(0), weight).squeeze(0) - bias;
  return std::max(0.0, about_mean.item<double>()) + centred.rows * (offset * offset).sum().item<double>();
}

double NormalEquations::TargetSquares() const {
  if (rows() == 0) return 0;
  return sums_.Value().select(0, inputs_ + 1).sum().item<double>();
}

double NormalEquations::CentredTargetSquares() const {
  if (rows() == 0) return 0;
  return Centre().rr.sum().item<double>();
}

}  // namespace qwt
