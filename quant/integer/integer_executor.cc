#include "quant/integer/integer_executor.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/ops/cat.h"
#include "core/base/status.h"
#include "core/tensor/parallel.h"
#include "quant/integer/image_lowering.h"
#include "quant/integer/program.h"

namespace qwt {
namespace {

// On a CPU LibTorch's threads share the images: what lies between products is too little work to share each alone.
absl::StatusOr<at::Tensor> OverThreads(const at::Tensor& batch,
                                       const std::function<absl::StatusOr<at::Tensor>(const at::Tensor&)>& run) {
  const int threads = batch.is_cpu() ? at::get_num_threads() : 1;
  if (threads == 1 || batch.size(0) < 2) return run(batch);
  std::vector<at::Tensor> parts = batch.chunk(threads);
  const auto run_part = [&](int64_t i) -> absl::Status {
    QWT_ASSIGN_OR_RETURN(parts[i], run(parts[i]));
    return absl::OkStatus();
  };
  QWT_RETURN_IF_ERROR(ParallelFor(static_cast<int64_t>(parts.size()), threads, run_part));
  return at::cat(parts);
}

class IntegerExecutor : public Executor {
 public:
  IntegerExecutor(std::map<std::string, IntegerProgram> programs, std::optional<IntegerProgram> whole)
      : programs_(std::move(programs)), whole_(std::move(whole)) {}

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    const auto program = programs_.find(segment.name);
    if (program == programs_.end()) return absl::InternalError("there is no segment " + segment.name);
    return OverThreads(batch, [&](const at::Tensor& part) { return program->second.Run(part); });
  }

  absl::StatusOr<at::Tensor> RunAll(const Graph& graph, const at::Tensor& images) const override {
    if (!whole_) return Executor::RunAll(graph, images);
    return OverThreads(images, [&](const at::Tensor& part) { return whole_->Run(part); });
  }

 private:
  const std::map<std::string, IntegerProgram> programs_;  // by segment
  const std::optional<IntegerProgram> whole_;             // none: the programs one after the other
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeIntegerExecutor(const Graph& graph, const TensorMap& parameters,
                                                              const QuantPlan& plan, const AddedProducts& added) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentShapes> shapes, InferShapes(graph, /*batch=*/1));
  std::map<std::string, IntegerProgram> programs;
  const std::vector<const Segment*> segments = graph.Segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    const auto product = added.find(segments[i]->name);
    QWT_ASSIGN_OR_RETURN(
        programs[segments[i]->name],
        LowerSegment(*segments[i], shapes[i], parameters, plan, product == added.end() ? nullptr : &product->second));
  }
  std::optional<IntegerProgram> whole;
  if (!graph.blocks.empty() && std::all_of(graph.blocks.begin(), graph.blocks.end(), HoldsImages)) {
    QWT_ASSIGN_OR_RETURN(whole, LowerImageNetwork(graph, shapes, parameters, plan, added));
  }
  return std::make_unique<IntegerExecutor>(std::move(programs), std::move(whole));
}

}  // namespace qwt
