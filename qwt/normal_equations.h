// Least squares of many targets on the same inputs with an intercept, min ‖R − XW − b‖², from sums that do not grow
// with the number of rows; of G groups at once, each of which has inputs and targets of its own, of the same sizes.
#pragma once

#include <cstdint>
#include <mutex>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "core/comm/exact_sum.h"

namespace qwt {

// XᵀX, XᵀR, ΣR², ΣX, ΣR and the number of rows of each group, in float64, where the rows lie: on a GPU they are summed
// there, in float64 too.
class NormalSums {
 public:
  // What one batch adds. x: [G, ..., C], r: [G, ..., K] with the same sizes between, finite, float32 or float64, any
  // strides. Throws what LibTorch throws.
  static at::Tensor Terms(const at::Tensor& x, const at::Tensor& r);
  // Every call with terms of the same G, C and K, on the same device. Thread safe.
  void Add(const at::Tensor& terms);
  // The sums of all ranks, on all ranks. A rank may have added nothing. Internal where ranks differ in G, C or K.
  absl::Status Reduce(Communicator& comm);

  at::Device device() const { return device_; }  // of the sums; after Reduce also where this rank added nothing
  // [G, C + 2, C + 1 + K], each rounded to one double: what Add of another object may take as the terms of one batch.
  // Undefined before the first row.
  at::Tensor Value() const { return sums_.Value(); }

 private:
  std::mutex mutex_;
  int64_t groups_ = 0, inputs_ = 0, targets_ = 0;  // G, C, K
  at::Device device_ = at::kCPU;
  // [G, C + 2, C + 1 + K], of each group  XᵀX | Xᵀ1 | XᵀR
  //                                       1ᵀX | rows | 1ᵀR
  //                                        0  |  0   | ΣR²
  ExactSum sums_;
};

struct LeastSquares {
  at::Tensor weight;     // W: float64 [G, C, K]
  at::Tensor bias;       // b: float64 [G, K]
  int64_t rank = 0;      // directions of X that were used, of all groups: at most G · C
  double condition = 0;  // largest / smallest used eigenvalue of the centred Gram, of the worst group; 0 for rank 0
};

// λ of min ‖R − XW − b‖² + λ‖W‖²; of_bias: + λ‖b‖² too, as where a column of ones is appended to X. In float64, on the
// sums as they are: not scaled by rows.
struct Ridge {
  double strength = 0;
  bool of_bias = false;
};

// What is solved from the sums, and measured on them, where they lie.
class NormalEquations {
 public:
  // sums: what NormalSums::Value gives. Where it is undefined there are no rows, and every figure is 0.
  explicit NormalEquations(at::Tensor sums);

  int64_t rows() const { return rows_; }  // of each group
  // The solutions of least norm, by the eigendecomposition of the centred Grams: directions below 1e-10 of a group's
  // largest eigenvalue are dropped, and so is a channel that varies by less than float32 resolves of its mean. One path
  // for regular and singular Grams: a transformer's first block often has a singular one. A ridge drops only what
  // float64 cannot tell from zero. FailedPrecondition where there are no rows.
  absl::StatusOr<LeastSquares> Solve(Ridge ridge = {}) const;

  // b that is best with this W: mean R − mean X · W, drawn to zero by a ridge of the bias. weight: float64 [G, C, K];
  // -> [G, K].
  at::Tensor BestBias(const at::Tensor& weight, Ridge ridge = {}) const;
  // Σ (R − XW − b)², over groups, rows and targets, as the next two.
  double ResidualSquares(const at::Tensor& weight, const at::Tensor& bias) const;
  double TargetSquares() const;         // Σ R²
  double CentredTargetSquares() const;  // Σ (R − mean R)²: over each target's own mean

 private:
  // The centred sums of each group: means [G, C] and [G, K]; Σ (X − mean X)ᵀ(X − mean X) [G, C, C], the same of X and R
  // [G, C, K], of each R with itself [G, K]. Eliminating b leaves these in every objective above; a ridge λ of the bias
  // makes the means sums / (rows + λ).
  struct Centred {
    at::Tensor x_mean, r_mean, xx, xr, rr;
  };
  Centred Centre(double ridge_of_bias = 0) const;

  at::Tensor sums_;
  int64_t inputs_ = 0, targets_ = 0, rows_ = 0;
};

}  // namespace qwt
