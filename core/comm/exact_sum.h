// A float64 sum that does not depend on the order of its terms, so that 1, 2 or N ranks get the same bits.
#pragma once

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"

namespace qwt {

// Keeps the sum, the sum of its rounding errors and the sum of theirs (Knuth's TwoSum at each step; Klein, "A
// generalized Kahan-Babuska summation algorithm", 2006): about 159 bits, so that the double nearest to them does not
// depend on the order of the terms, but for one case in 2^50. A sum that is not finite is what plain addition gives.
class ExactSum {
 public:
  // term: float64, contiguous; the first one sets shape and device. Thread-compatible: one writer at a time.
  void Add(const at::Tensor& term);
  void Add(const ExactSum& other);
  // The sum over all ranks, on all ranks; shape and device are for a rank that added nothing, the device of the kind
  // that the others' terms lay on. Of long sums one rank's parts at a time are sent to all: memory does not grow with
  // the number of ranks.
  absl::Status Reduce(Communicator& comm, at::IntArrayRef shape, at::Device device = at::kCPU);
  at::Tensor Value() const;  // float64, where the terms lay; undefined where nothing was added

 private:
  at::Tensor parts_;  // [3, *shape]: the sum, its errors, their errors
};

}  // namespace qwt
