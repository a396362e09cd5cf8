#include "core/tensor/device.h"

#include "ATen/Context.h"
#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/detail/CUDAHooksInterface.h"
#include "ATen/ops/addmm.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/diag.h"
#include "ATen/ops/linalg_eigh.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/sort.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "c10/core/CachingDeviceAllocator.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/tensor/gpu.h"

namespace qwt {
namespace {

absl::Status NoGpu(const std::string& name) {
  return absl::InvalidArgumentError(absl::StrCat(
      "device '", name, "': ",
      at::globalContext().hasCUDA()
          ? "there is no GPU that this process may use (nvidia-smi lists them; CUDA_VISIBLE_DEVICES may hide them)"
          : "this program is built without CUDA, or found no driver: build with --config=cuda on a machine with a GPU",
      "; 'cpu' and 'auto' are there"));
}

c10::DeviceAllocator& AllocatorOf(at::Device device) {
  at::globalContext().lazyInitDevice(device.type());
  return *c10::getDeviceAllocator(device.type());
}

}  // namespace

int GpuCount() { return at::detail::getCUDAHooks().getNumGPUs(); }

absl::StatusOr<at::Device> ResolveDevice(const std::string& name, int local_rank, int local_ranks) {
  const int gpus = name == "cpu" ? 0 : GpuCount();
  if (name == "cpu" || (name == "auto" && gpus == 0)) return at::Device(at::kCPU);
  if (name == "auto" || name == "cuda") {
    if (gpus == 0) return NoGpu(name);
    return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(local_rank % gpus));
  }
  absl::string_view index = name;
  int number = 0;
  if (!absl::ConsumePrefix(&index, "cuda:") || !absl::SimpleAtoi(index, &number) || number < 0) {
    return absl::InvalidArgumentError(absl::StrCat("device '", name, "': must be auto, cpu, cuda or cuda:N"));
  }
  if (gpus == 0) return NoGpu(name);
  if (number >= gpus) {
    return absl::InvalidArgumentError(
        absl::StrCat("device '", name, "': there ", gpus == 1 ? "is one GPU, cuda:0" : "are ",
                     gpus == 1 ? "" : absl::StrCat(gpus, " GPUs, cuda:0 to cuda:", gpus - 1)));
  }
  if (local_ranks > 1) {
    return absl::InvalidArgumentError(absl::StrCat("device '", name, "' is one GPU, and ", local_ranks,
                                                   " ranks run on this machine: 'cuda' gives each its own"));
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(number));
}

std::string DescribeDevice(at::Device device) {
  return device.is_cuda() ? absl::StrCat(device.str(), " (", GpuName(device.index()), ")") : device.str();
}

void UseExactProducts() {
  at::Context& context = at::globalContext();
  context.setAllowTF32CuDNN(false);
  context.setAllowTF32CuBLAS(false);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  context.setAllowFP16ReductionCuBLAS(/*allow_reduced_precision=*/false);
}

void WarmUp(at::Device device) {
  if (device.is_cpu()) return;
  const at::NoGradGuard no_grad;
  const absl::Status status = CatchExceptions("preparing the GPU", [&] {
    const at::TensorOptions there = at::TensorOptions(at::kFloat).device(device);
    const at::Tensor image = at::ones({1, 3, 16, 16}, there), matrix = at::ones({16, 16}, there);
    at::conv2d(image, at::ones({4, 3, 4, 4}, there));                     // cuDNN
    at::addmm(matrix, matrix, matrix);                                    // cuBLAS
    at::matmul(matrix.to(at::kHalf), matrix.to(at::kHalf));               // its tensor cores
    at::mm(matrix.to(at::kDouble), matrix.to(at::kDouble));               // and float64
    at::linalg_eigh(at::diag(at::ones({64}, there.dtype(at::kDouble))));  // cuSOLVER
    at::sort(at::ones({2, 1, 10'000}, there));                            // CUB
    matrix.sum().item();
    return absl::OkStatus();
  });
  // What is wrong with it, its first stage will say.
  if (!status.ok()) QWT_LOG(INFO) << status.message();
}

int64_t FreeBytes(at::Device device) {
  c10::DeviceAllocator& allocator = AllocatorOf(device);
  const auto stats = allocator.getDeviceStats(device.index());
  const int64_t cached = stats.reserved_bytes[0].current - stats.allocated_bytes[0].current;
  return static_cast<int64_t>(allocator.getMemoryInfo(device.index()).first) + cached;
}

int64_t PeakBytes(at::Device device) {
  return AllocatorOf(device).getDeviceStats(device.index()).allocated_bytes[0].peak;
}

void ResetPeakBytes(at::Device device) { AllocatorOf(device).resetPeakStats(device.index()); }

void ReleaseCachedMemory(at::Device device) { AllocatorOf(device).emptyCache(); }

at::Device DeviceOf(const TensorMap& tensors) {
  return tensors.empty() ? at::Device(at::kCPU) : tensors.begin()->second.device();
}

TensorMap ToDevice(const TensorMap& tensors, at::Device device) {
  TensorMap moved;
  for (const auto& [name, tensor] : tensors) moved.emplace(name, tensor.to(device));
  return moved;
}

}  // namespace qwt
