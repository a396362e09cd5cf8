// The ranks of a run over LibTorch's c10d with NCCL, each on a GPU of its own. nccl.cc is linked with --config=cuda,
// nccl_none.cc without.
#pragma once

#include <memory>
#include <string>

#include "ATen/core/Tensor.h"
#include "core/comm/communicator.h"
#include "core/comm/rank_settings.h"
#include "torch/csrc/distributed/c10d/Store.hpp"

namespace qwt {

// What names a GPU on this machine whatever CUDA_VISIBLE_DEVICES shows of it: its address on the bus.
std::string GpuAddress(at::Device device);

// Tensors on `device` go over NCCL; those on the CPU and barriers go over `on_cpu`, which saves small statistics the
// way through the GPU. Returns when all ranks have joined; throws what c10d does if they cannot.
std::unique_ptr<Communicator> MakeNcclCommunicator(c10::intrusive_ptr<c10d::Store> store, const RankSettings& settings,
                                                   at::Device device, std::unique_ptr<Communicator> on_cpu);

}  // namespace qwt
