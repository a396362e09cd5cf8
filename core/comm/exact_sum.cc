#include "core/comm/exact_sum.h"

#include <cmath>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros.h"
#include "core/base/log.h"
#include "core/base/status.h"

namespace qwt {
namespace {

// a + b = sum + error, exactly (Knuth). Must not be compiled with -ffast-math.
inline double TwoSum(double a, double b, double* error) {
  const double sum = a + b;
  const double b_part = sum - a;
  *error = (a - (sum - b_part)) + (b - b_part);
  return sum;
}

at::Tensor ZeroParts(at::IntArrayRef shape, at::Device device) {
  std::vector<int64_t> sizes = shape.vec();
  sizes.insert(sizes.begin(), 3);
  return at::zeros(sizes, at::TensorOptions(at::kDouble).device(device));
}

// The same for tensors on a GPU: every operator rounds once, as the CPU does. -> sum, error.
std::pair<at::Tensor, at::Tensor> TwoSum(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor sum = a + b, b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

void AddOnGpu(const at::Tensor& term, at::Tensor& parts) {
  const auto [sum, error] = TwoSum(parts[0], term);
  const auto [errors, error_of_error] = TwoSum(parts[1], error);
  parts[0].copy_(sum);
  parts[1].copy_(errors);
  parts[2].add_(error_of_error);
}

at::Tensor ValueOnGpu(const at::Tensor& parts) {
  const auto [errors, lowest] = TwoSum(parts[1], parts[2]);
  const auto [high, low] = TwoSum(parts[0], errors);
  return at::where(parts[0].isfinite(), high + (low + lowest), parts[0]);
}

}  // namespace

void ExactSum::Add(const at::Tensor& term) {
  QWT_CHECK(term.scalar_type() == at::kDouble && term.is_contiguous());
  // From zeros, not from a copy of the first term: -0.0 would be another sum than 0.0 + -0.0, which is what a rank
  // without terms makes of it.
  if (!parts_.defined()) parts_ = ZeroParts(term.sizes(), term.device());
  QWT_CHECK(parts_.sizes().slice(1) == term.sizes() && parts_.device() == term.device());
  if (!term.is_cpu()) return AddOnGpu(term, parts_);
  const int64_t count = term.numel();
  const double* x = term.const_data_ptr<double>();
  double* sum = parts_.mutable_data_ptr<double>();
  double* errors = sum + count;
  double* errors_of_errors = errors + count;
  for (int64_t i = 0; i < count; ++i) {
    double error, error_of_error;
    sum[i] = TwoSum(sum[i], x[i], &error);
    errors[i] = TwoSum(errors[i], error, &error_of_error);
    errors_of_errors[i] += error_of_error;
  }
}

void ExactSum::Add(const ExactSum& other) {
  if (!other.parts_.defined()) return;
  for (int64_t part = 0; part < 3; ++part) Add(other.parts_.select(0, part));
}

absl::Status ExactSum::Reduce(Communicator& comm, at::IntArrayRef shape, at::Device device) {
  constexpr int64_t kShortBytes = 64 << 10;
  if (!parts_.defined()) parts_ = ZeroParts(shape, device);
  QWT_CHECK(parts_.sizes().slice(1) == shape);
  if (comm.size() == 1) return absl::OkStatus();
  ExactSum total;
  total.parts_ = ZeroParts(shape, parts_.device());
  if (static_cast<int64_t>(parts_.nbytes()) <= kShortBytes) {  // in one collective
    absl::StatusOr<at::Tensor> all = AllGather(parts_, comm);
    if (!all.ok()) return all.status();
    for (int rank = 0; rank < comm.size(); ++rank) {
      ExactSum of_rank;
      of_rank.parts_ = all->select(0, rank);
      total.Add(of_rank);
    }
    parts_ = total.parts_;
    return absl::OkStatus();
  }
  ExactSum received;
  received.parts_ = at::empty_like(parts_);
  for (int rank = 0; rank < comm.size(); ++rank) {
    if (rank == comm.rank()) received.parts_.copy_(parts_);
    QWT_RETURN_IF_ERROR(comm.Broadcast(received.parts_, rank));
    total.Add(received);
  }
  parts_ = total.parts_;
  return absl::OkStatus();
}

at::Tensor ExactSum::Value() const {
  if (!parts_.defined()) return at::Tensor();
  if (!parts_.is_cpu()) return ValueOnGpu(parts_);
  at::Tensor value = at::empty(parts_.sizes().slice(1), at::kDouble);
  const int64_t count = value.numel();
  const double* parts = parts_.const_data_ptr<double>();
  double* out = value.mutable_data_ptr<double>();
  for (int64_t i = 0; i < count; ++i) {
    double low, lowest;
    const double errors = TwoSum(parts[count + i], parts[2 * count + i], &lowest);
    const double high = TwoSum(parts[i], errors, &low);
    out[i] = std::isfinite(parts[i]) ? high + (low + lowest) : parts[i];
  }
  return value;
}

}  // namespace qwt
