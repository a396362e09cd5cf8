#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "ATen/ops/cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "models/executor.h"

namespace qwt {
namespace {

class HalvingExecutor : public Executor {
 public:
  explicit HalvingExecutor(std::unique_ptr<Executor> executor) : executor_(std::move(executor)) {}

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    const int64_t size = batch.size(0), half = (size + 1) / 2;
    if (size <= most_) {
      absl::StatusOr<at::Tensor> output = executor_->Run(segment, batch);
      if (!absl::IsResourceExhausted(output.status()) || size < 2) return output;
      QWT_LOG(WARNING) << "no memory for " << size << " images at once, goes on with " << half << ": "
                       << output.status().message();
      int64_t most = most_;
      while (half < most && !most_.compare_exchange_weak(most, half)) {
      }
      if (!batch.is_cpu()) ReleaseCachedMemory(batch.device());
    }
    QWT_ASSIGN_OR_RETURN(const at::Tensor first, Run(segment, batch.narrow(0, 0, half)));
    QWT_ASSIGN_OR_RETURN(const at::Tensor second, Run(segment, batch.narrow(0, half, size - half)));
    return at::cat({first, second});
  }

 private:
  const std::unique_ptr<Executor> executor_;
  mutable std::atomic<int64_t> most_{std::numeric_limits<int64_t>::max()};  // images that there was memory for
};

}  // namespace

std::unique_ptr<Executor> MakeHalvingExecutor(std::unique_ptr<Executor> executor) {
  return std::make_unique<HalvingExecutor>(std::move(executor));
}

}  // namespace qwt
