// Where a run computes: the CPU, or a GPU of this machine. Operators find LibTorch's CUDA kernels by themselves once a
// program is built with --config=cuda; what stands here works in every build.
#pragma once

#include <cstdint>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"

namespace qwt {

// GPUs that this process may use; 0 in a build without CUDA.
int GpuCount();

// name: "auto" (a GPU where there is one, else the CPU), "cpu", "cuda" or "cuda:N". For "auto" and "cuda" the ranks of
// a machine take its GPUs in turn: local_rank modulo their number. InvalidArgument where there is no such GPU, saying
// why, and for "cuda:N" with more than one rank on the machine.
absl::StatusOr<at::Device> ResolveDevice(const std::string& name, int local_rank, int local_ranks);

// "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)".
std::string DescribeDevice(at::Device device);

// Float32 products in float32: neither TF32 nor reduced sums, and the same bits every time. Once, before any work.
void UseExactProducts();

// Makes the GPU's context and loads the libraries that stages use there, which takes most of a second, so that it can
// be done while something else is. Nothing on the CPU.
void WarmUp(at::Device device);

// Memory of a GPU, bytes. The allocator's own cache counts as free.
int64_t FreeBytes(at::Device device);
// Most that tensors took since the last ResetPeakBytes.
int64_t PeakBytes(at::Device device);
void ResetPeakBytes(at::Device device);

// Gives the allocator's cache back to the GPU, so that what is free is in one piece.
void ReleaseCachedMemory(at::Device device);

// Where the tensors lie, all on one device; the CPU for none.
at::Device DeviceOf(const TensorMap& tensors);
// The same tensors on the device; those that are there already are shared.
TensorMap ToDevice(const TensorMap& tensors, at::Device device);

}  // namespace qwt
