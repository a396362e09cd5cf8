// Least squares of many targets on the same inputs with an intercept, min ‖R − XW − b‖², from sums that do not grow
// with the number of rows.
#pragma once

#include <cstdint>
#include <mutex>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "core/comm/exact_sum.h"

namespace qwt {

struct LeastSquares {
  at::Tensor weight;     // W: float64 [C, K]
  at::Tensor bias;       // b: float64 [K]
  int64_t rank = 0;      // directions of X that were used, at most C
  double condition = 0;  // largest / smallest used eigenvalue of the centred Gram; 0 for rank 0
};

// λ of min ‖R − XW − b‖² + λ‖W‖²; of_bias: + λ‖b‖² too, as where a column of ones is appended to X. In float64, on the
// sums as they are: not scaled by rows.
struct Ridge {
  double strength = 0;
  bool of_bias = false;
};

// XᵀX, XᵀR, ΣR², ΣX, ΣR and the number of rows, in float64, where the rows lie: on a GPU they are summed and solved
// there, in float64 too. X: [rows, C], R: [rows, K].
class NormalEquations {
 public:
  // What one batch adds. x: [..., C], r: [..., K] with the same leading sizes, finite, float32 or float64. Throws what
  // LibTorch throws.
  static at::Tensor Terms(const at::Tensor& x, const at::Tensor& r);
  // Every call with terms of the same C and K, on the same device. Thread safe.
  void Add(const at::Tensor& terms);
  void Add(const at::Tensor& x, const at::Tensor& r) { Add(Terms(x, r)); }
  // The sums of all ranks, on all ranks. A rank may have added nothing. Internal where ranks differ in C or K.
  absl::Status Reduce(Communicator& comm);

  at::Device device() const { return device_; }  // of the sums; after Reduce also where this rank added nothing
  // [C + 2, C + 1 + K], each rounded to one double: what Add of another object may take as the terms of one batch.
  // Undefined before the first row.
  at::Tensor Sums() const { return sums_.Value(); }

  int64_t rows() const;  // 0 before the first row, as is every other figure
  // The solution of least norm, by the eigendecomposition of the centred Gram: directions below 1e-10 of the largest
  // eigenvalue are dropped, and so is a channel that varies by less than float32 resolves of its mean. One path for
  // regular and singular Grams: a transformer's first block often has a singular one. A ridge drops only what float64
  // cannot tell from zero. FailedPrecondition where there are no rows.
  absl::StatusOr<LeastSquares> Solve(Ridge ridge = {}) const;

  // b that is best with this W: mean R − mean X · W, drawn to zero by a ridge of the bias. weight: float64 [C, K].
  at::Tensor BestBias(const at::Tensor& weight, Ridge ridge = {}) const;
  // Σ (R − XW − b)², over rows and targets.
  double ResidualSquares(const at::Tensor& weight, const at::Tensor& bias) const;
  double TargetSquares() const;         // Σ R²
  double CentredTargetSquares() const;  // Σ (R − mean R)²: over each target's own mean

 private:
  // The centred sums: Σ (X − mean X)ᵀ(X − mean X) [C, C], the same of X and R [C, K], of each R with itself [K].
  // Eliminating b leaves these in every objective above; a ridge λ of the bias makes the means sums / (rows + λ).
  struct Centred {
    double rows = 0;
    at::Tensor x_mean, r_mean, xx, xr, rr;
  };
  Centred Centre(double ridge_of_bias = 0) const;

  std::mutex mutex_;
  int64_t inputs_ = 0, targets_ = 0;  // C, K
  at::Device device_ = at::kCPU;
  // [C + 2, C + 1 + K]:  XᵀX | Xᵀ1 | XᵀR
  //                      1ᵀX | rows | 1ᵀR
  //                       0  |  0   | ΣR²
  ExactSum sums_;
};

}  // namespace qwt
