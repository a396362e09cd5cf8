// Products by LibTorch's int8 matrix product, whose operands are signed: codes go in as a - 128, and 128 · Σ_k w[n,k]
// comes back to each output's sums.
#pragma once

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "quant/integer/kernels/kernels.h"

namespace qwt {

// Keeps what all rows share; wants HasInt8Products().
class VectorProduct {
 public:
  static constexpr int64_t kRows = 256;  // multiplied at once: their sums stay in the second-level cache

  // a, out and residual of the arguments are those of Run.
  explicit VectorProduct(const ProductArguments& arguments);

  // Rows of a, out and residual count from 0, at most as many as the arguments have.
  void Run(const uint8_t* a, int64_t rows, float* out, const float* residual);

 private:
  // Sums of the rows from `first`.
  void Multiply(int64_t first, int64_t rows);
  // v of row m, whose sums are in `row`.
  void SetValues(int64_t m, int64_t row, float* v);
  // Of each output the sum over one row's ends: they are few, so that their weights are added one after the other.
  void AddEnds(const uint32_t* words);
  void Write(int64_t m, const float* v) const;

  ProductArguments p_;
  const int64_t depth_;
  const at::Tensor weights_;   // int8 [K, N]
  at::Tensor codes_, sums_;    // of some rows
  std::vector<float> values_;  // of some rows
  std::vector<int32_t> flips_, end_sums_;
  std::vector<int16_t> few_end_sums_;
  std::vector<int64_t> ends_;  // of the row at hand, columns
};

}  // namespace qwt
