// What crosses ranks: sufficient statistics only. Every rank calls the same functions in the same order.
#pragma once

#include <memory>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place, contiguous CPU tensors of the same shape and dtype (sums: float32, float64, int64; broadcasts: any) on
  // every rank. Unavailable, naming the operation, where a rank is gone or late.
  virtual absl::Status AllReduceSum(at::Tensor& tensor) = 0;
  virtual absl::Status Broadcast(at::Tensor& tensor, int root) = 0;
  virtual absl::Status Barrier() = 0;
};

// One rank: every operation is a no-op.
std::unique_ptr<Communicator> MakeLocalCommunicator();

// c10d over Gloo. Joins the ranks that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT describe (torchrun, SLURM or
// --nproc set them); the local communicator where WORLD_SIZE is 1, or it and RANK are unset. InvalidArgument, naming
// the variable, where one is missing or wrong; Unavailable where the ranks do not meet. A rank waits 5 minutes for the
// others, or $QWT_COMM_TIMEOUT_SECONDS.
absl::StatusOr<std::unique_ptr<Communicator>> JoinRanks();

// [*sizes of the tensor] of each rank stacked: [size(), ...]. Bit for bit: every slot is broadcast by its rank. Any
// dtype.
absl::StatusOr<at::Tensor> AllGather(const at::Tensor& tensor, Communicator& comm);

}  // namespace qwt
