// What crosses ranks: sufficient statistics only. Every rank calls the same functions in the same order.
#pragma once

#include <memory>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/rank_settings.h"

namespace qwt {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place: contiguous tensors on the CPU or on this rank's GPU, of the same shape, dtype and kind of device on every
  // rank (sums: float32, float64, int64; broadcasts: any). The result has the same bits on all ranks. Unavailable,
  // naming the collective with the tensor's dtype and shape, where a rank is late; where one has ended, naming it and,
  // if it said so, why. Cancelled where it was interrupted.
  virtual absl::Status AllReduceSum(at::Tensor& tensor) = 0;
  virtual absl::Status Broadcast(at::Tensor& tensor, int root) = 0;
  virtual absl::Status Barrier() = 0;

  // The last call: tells the others how this rank ends. Who goes without is taken for one that crashed. OK where it is
  // done: the others go on. Otherwise their work is stopped (StopWork) with this rank's message, and the process of any
  // rank, this one too, that still has its communicator five seconds later is ended with code 1.
  virtual void Leave(const absl::Status& status) {}
};

// One rank: every operation is a no-op.
std::unique_ptr<Communicator> MakeLocalCommunicator();

// Joins the ranks that `settings` describe, over c10d; the local communicator for one. Tensors on the CPU go over Gloo.
// Those of GPUs go over NCCL where every rank has a GPU of its own (`device`); where ranks share one, which NCCL does
// not allow, or some have none, they are staged through the CPU. Unavailable where the ranks do not meet. A rank waits
// 5 minutes for the others, or $QWT_COMM_TIMEOUT_SECONDS.
absl::StatusOr<std::unique_ptr<Communicator>> JoinRanks(const RankSettings& settings, at::Device device);

// [*sizes of the tensor] of each rank stacked: [size(), ...]. Bit for bit: every slot is broadcast by its rank. Any
// dtype and device, on which the result is.
absl::StatusOr<at::Tensor> AllGather(const at::Tensor& tensor, Communicator& comm);

}  // namespace qwt
