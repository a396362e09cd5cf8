#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>

#include <map>
#include <mutex>
#include <utility>

#include "ATen/ops/empty.h"
#include "core/base/status.h"
#include "core/tensor/recording.h"

namespace qwt {
namespace {

// The stream of a GPU's recordings: one for all, since cuBLAS keeps memory for every stream that it has met. Of high
// priority, so that it is none of the streams that others get to copy or to compute on.
c10::cuda::CUDAStream StreamOfRecordings(c10::DeviceIndex device) {
  static std::mutex mutex;
  static auto* streams = new std::map<c10::DeviceIndex, c10::cuda::CUDAStream>;
  const std::lock_guard<std::mutex> lock(mutex);
  return streams->emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device)).first->second;
}

template <typename Function>
absl::Status Try(Function&& function) {
  return CatchExceptions("recording", [&] {
    function();
    return absl::OkStatus();
  });
}

class CudaRecording : public Recording {
 public:
  explicit CudaRecording(const at::Tensor& example) : input_(at::empty(example.sizes(), example.options())) {}

  // Other threads may go on with the GPU meanwhile.
  absl::Status Capture(const TensorFunction& function) {
    const c10::cuda::CUDAStreamGuard guard(StreamOfRecordings(input_.get_device()));
    const at::cuda::MempoolId_t pool = at::cuda::graph_pool_handle();
    absl::Status status = Try([&] { graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal); });
    if (status.ok()) {
      status = CatchExceptions("recording", [&]() -> absl::Status {
        QWT_ASSIGN_OR_RETURN(output_, function(input_));
        return absl::OkStatus();
      });
      const absl::Status end = Try([&] { graph_.capture_end(); });
      if (end.ok()) return status;  // the graph leaves the pool when it goes
      status.Update(end);
    }
    LeavePool(pool);
    RenewGenerator();
    return status;
  }

  at::Tensor Replay(const at::Tensor& x) override {
    input_.copy_(x);
    graph_.replay();
    return output_;
  }

 private:
  // LibTorch's allocators go on taking memory for a recording whose end failed, and call into its graph for that.
  void LeavePool(const at::cuda::MempoolId_t& pool) {
    output_ = at::Tensor();
    const c10::DeviceIndex device = input_.get_device();
    at::HostAllocator* host = at::getHostAllocator(at::kCUDA);
    // Where the capture got no further, an allocator says that it knows no such pool: as well.
    Try([&] { c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool); }).IgnoreError();
    Try([&] { c10::cuda::CUDACachingAllocator::releasePool(device, pool); }).IgnoreError();
    Try([&] { host->end_allocate_to_pool(pool); }).IgnoreError();
    Try([&] { host->release_pool(pool); }).IgnoreError();
  }

  // Likewise random numbers, which would go on counting for the recording.
  void RenewGenerator() const {
    at::Generator generator = at::cuda::detail::getDefaultCUDAGenerator(input_.get_device());
    generator.graphsafe_set_state(generator.clone());
  }

  at::Tensor input_, output_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Recording>> Record(const at::Tensor& example, const TensorFunction& function) {
  const c10::cuda::CUDAGuard guard(example.device());
  // The recording's memory is its own: what the cache holds for the same work goes first.
  c10::cuda::CUDACachingAllocator::emptyCache();
  auto recording = std::make_unique<CudaRecording>(example);
  QWT_RETURN_IF_ERROR(recording->Capture(function));
  return recording;
}

}  // namespace qwt
