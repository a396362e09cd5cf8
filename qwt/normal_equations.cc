#include "qwt/normal_equations.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/bmm.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/linalg_eigh.h"
#include "ATen/ops/zeros.h"
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

// Of each group: [G, A], [G, B] -> [G, A, B].
at::Tensor Outer(const at::Tensor& a, const at::Tensor& b) { return a.unsqueeze(2) * b.unsqueeze(1); }
// [G, A], [G, A, B] -> [G, B].
at::Tensor TimesMatrix(const at::Tensor& a, const at::Tensor& b) { return at::bmm(a.unsqueeze(1), b).squeeze(1); }

double BiasRidge(Ridge ridge) { return ridge.of_bias ? ridge.strength : 0; }

// xx: [G, C, C], xr: [G, C, K]. All but the bias.
LeastSquares SolveCentred(const at::Tensor& xx, const at::Tensor& xr, double ridge) {
  auto [eigenvalues, vectors] = at::linalg_eigh(xx);  // [G, C] in increasing order, [G, C, C]
  const at::Tensor largest = eigenvalues.narrow(1, xx.size(1) - 1, 1), damped = eigenvalues + ridge;
  const at::Tensor cut_off = largest * (ridge > 0 ? kNoiseTolerance : kRankTolerance);
  const at::Tensor used = (damped > cut_off) & (largest > 0);
  // A quotient by infinity is the zero that a direction which is not used gets.
  const at::Tensor divisors = damped.masked_fill(used.logical_not(), std::numeric_limits<double>::infinity());

  LeastSquares solution;
  solution.rank = used.sum().item<int64_t>();
  const double condition = ((largest + ridge) / divisors.amin(1, /*keepdim=*/true)).max().item<double>();
  solution.condition = solution.rank > 0 ? condition : 0;
  solution.weight = at::bmm(vectors, at::bmm(vectors.transpose(1, 2), xr) / divisors.unsqueeze(2));
  return solution;
}

}  // namespace

at::Tensor NormalSums::Terms(const at::Tensor& x, const at::Tensor& r) {
  const int64_t groups = x.size(0), inputs = x.size(-1), targets = r.size(-1);
  const int64_t rows = x.numel() / std::max<int64_t>(1, groups * inputs), width = inputs + 1 + targets;
  const at::TensorOptions exact = x.options().dtype(at::kDouble);
  // X | 1 | R, laid out as x is: the copy converts, and should not transpose too.
  const at::Tensor columns = x.stride(-1) == 1 ? at::empty({groups, rows, width}, exact)
                                               : at::empty({groups, width, rows}, exact).transpose(1, 2);
  columns.narrow(2, 0, inputs).view(x.sizes()).copy_(x);
  columns.narrow(2, inputs, 1).fill_(1);
  const at::Tensor target = columns.narrow(2, inputs + 1, targets);
  target.view(r.sizes()).copy_(r);

  at::Tensor sums = at::zeros({groups, inputs + 2, width}, exact);
  sums.narrow(1, 0, inputs + 1).copy_(at::bmm(columns.narrow(2, 0, inputs + 1).transpose(1, 2), columns));
  sums.select(1, inputs + 1).narrow(1, inputs + 1, targets).copy_((target * target).sum(1));
  return sums;
}

void NormalSums::Add(const at::Tensor& terms) {
  const int64_t groups = terms.size(0), inputs = terms.size(1) - 2, targets = terms.size(2) - 1 - inputs;
  std::lock_guard<std::mutex> lock(mutex_);
  QWT_CHECK(inputs_ == 0 || (groups_ == groups && inputs_ == inputs && targets_ == targets));
  groups_ = groups;
  inputs_ = inputs;
  targets_ = targets;
  device_ = terms.device();
  sums_.Add(terms);
}

absl::Status NormalSums::Reduce(Communicator& comm) {
  // A rank without rows learns the sizes from the others.
  at::Tensor own = at::empty({4}, at::kLong);
  int64_t* own_sizes = own.mutable_data_ptr<int64_t>();
  own_sizes[0] = groups_;
  own_sizes[1] = inputs_;
  own_sizes[2] = targets_;
  own_sizes[3] = device_.is_cuda();
  absl::StatusOr<at::Tensor> gathered = AllGather(own, comm);
  if (!gathered.ok()) return gathered.status();
  for (int rank = 0; rank < comm.size(); ++rank) {
    const int64_t* sizes = gathered->const_data_ptr<int64_t>() + 4 * rank;
    const int64_t groups = sizes[0], inputs = sizes[1], targets = sizes[2];
    if (inputs == 0) continue;
    if (inputs_ != 0 && (groups != groups_ || inputs != inputs_ || targets != targets_)) {
      return absl::InternalError(absl::StrCat("rank ", rank, " summed ", inputs, " inputs and ", targets,
                                              " targets of ", groups, " groups where others have ", inputs_, " and ",
                                              targets_, " of ", groups_));
    }
    if (inputs_ == 0 && sizes[3] != 0) device_ = at::Device(at::kCUDA);  // the current one
    groups_ = groups;
    inputs_ = inputs;
    targets_ = targets;
  }
  if (inputs_ == 0) return absl::OkStatus();
  return sums_.Reduce(comm, {groups_, inputs_ + 2, inputs_ + 1 + targets_}, device_);
}

NormalEquations::NormalEquations(at::Tensor sums) : sums_(std::move(sums)) {
  if (!sums_.defined()) return;
  inputs_ = sums_.size(1) - 2;
  targets_ = sums_.size(2) - 1 - inputs_;
  rows_ = static_cast<int64_t>(sums_[0][inputs_][inputs_].item<double>());
}

NormalEquations::Centred NormalEquations::Centre(double ridge_of_bias) const {
  const at::Tensor x_rows = sums_.narrow(1, 0, inputs_), ones = sums_.select(1, inputs_);
  const at::Tensor x_sum = ones.narrow(1, 0, inputs_), r_sum = ones.narrow(1, inputs_ + 1, targets_);
  const at::Tensor r_squares = sums_.select(1, inputs_ + 1).narrow(1, inputs_ + 1, targets_);
  const at::Tensor xx = x_rows.narrow(2, 0, inputs_);

  Centred centred;
  const double rows = static_cast<double>(rows_) + ridge_of_bias;
  centred.x_mean = x_sum / rows;
  centred.r_mean = r_sum / rows;
  centred.xx = xx - Outer(centred.x_mean, x_sum);
  centred.xr = x_rows.narrow(2, inputs_ + 1, targets_) - Outer(centred.x_mean, r_sum);
  centred.rr = WithoutNoise(r_squares - centred.r_mean * r_sum, r_squares);
  // A constant channel's row and column are noise: zero is what they stand for.
  const at::Tensor varies = (WithoutNoise(centred.xx.diagonal(0, 1, 2), xx.diagonal(0, 1, 2)) > 0).to(at::kDouble);
  centred.xx = centred.xx * Outer(varies, varies);
  centred.xr = centred.xr * varies.unsqueeze(2);
  return centred;
}

absl::StatusOr<LeastSquares> NormalEquations::Solve(Ridge ridge) const {
  if (rows_ == 0) return absl::FailedPreconditionError("there are no rows to solve for");
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
  return centred.r_mean - TimesMatrix(centred.x_mean, weight);
}

double NormalEquations::ResidualSquares(const at::Tensor& weight, const at::Tensor& bias) const {
  if (rows_ == 0) return 0;
  const Centred centred = Centre();
  const at::Tensor about_mean =  // of each group
      centred.rr.sum(1) + (weight * (at::bmm(centred.xx, weight) - 2 * centred.xr)).sum({1, 2});
  const at::Tensor offset = centred.r_mean - TimesMatrix(centred.x_mean, weight) - bias;
  return (about_mean.clamp_min(0).sum() + rows_ * (offset * offset).sum()).item<double>();
}

double NormalEquations::TargetSquares() const {
  if (rows_ == 0) return 0;
  return sums_.select(1, inputs_ + 1).sum().item<double>();
}

double NormalEquations::CentredTargetSquares() const {
  if (rows_ == 0) return 0;
  return Centre().rr.sum().item<double>();
}

}  // namespace qwt
