#include <algorithm>
#include <atomic>
#include <functional>
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
    return RunHalves(batch, [&](const at::Tensor& part) { return executor_->Run(segment, part); });
  }
  absl::StatusOr<at::Tensor> RunAll(const Graph& graph, const at::Tensor& images) const override {
    return RunHalves(images, [&](const at::Tensor& part) { return executor_->RunAll(graph, part); });
  }

 private:
  using RunFunction = std::function<absl::StatusOr<at::Tensor>(const at::Tensor& part)>;

  absl::StatusOr<at::Tensor> RunHalves(const at::Tensor& batch, const RunFunction& run) const {
    const int64_t size = batch.size(0), half = (size + 1) / 2;
    if (size <= most_) {
      absl::StatusOr<at::Tensor> output = run(batch);
      if (!absl::IsResourceExhausted(output.status()) || size < 2) return output;
      QWT_LOG(WARNING) << "no memory for " << size << " images at once, goes on with " << half << ": "
                       << output.status().message();
      int64_t most = most_;
      while (half < most && !most_.compare_exchange_weak(most, half)) {
      }
      if (!batch.is_cpu()) ReleaseCachedMemory(batch.device());
    }
    QWT_ASSIGN_OR_RETURN(const at::Tensor first, RunHalves(batch.narrow(0, 0, half), run));
    QWT_ASSIGN_OR_RETURN(const at::Tensor second, RunHalves(batch.narrow(0, half, size - half), run));
    return at::cat({first, second});
  }

  const std::unique_ptr<Executor> executor_;
  mutable std::atomic<int64_t> most_{std::numeric_limits<int64_t>::max()};  // images that there was memory for
};

}  // namespace

std::unique_ptr<Executor> MakeHalvingExecutor(std::unique_ptr<Executor> executor) {
  return std::make_unique<HalvingExecutor>(std::move(executor));
}

}  // namespace qwt
