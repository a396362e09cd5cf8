// A float64 sum that does not depend on the order of its terms, so that 1, 2 or N ranks get the same bits.
#pragma once

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"

namespace qwt {

// Keeps high + low, the sum and its rounding error (Knuth's TwoSum at each step: about 106 bits), which rounds to the same double
// whatever the order, but for one case in 2^50.
class ExactSum {
 public:
  // term: float64, contiguous; the first one sets the shape. Thread-compatible: one writer at a time.
  void Add(const at::Tensor& term);
  void Add(const ExactSum& other);
  // The sum over all ranks, on all ranks; `shape` for a rank that added nothing.
  absl::Status Reduce(Communicator& comm, at::IntArrayRef shape);
  at::Tensor Value() const;  // float64; undefined where nothing was added

 private:
  at::Tensor high_, low_;
};

}  // namespace qwt
