#include "quant/integer/integer_executor.h"

#include <map>
#include <string>
#include <utility>

#include "core/base/status.h"
#include "quant/integer/program.h"

namespace qwt {
namespace {

class IntegerExecutor : public Executor {
 public:
  explicit IntegerExecutor(std::map<std::string, IntegerProgram> programs) : programs_(std::move(programs)) {}

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    const auto program = programs_.find(segment.name);
    if (program == programs_.end()) return absl::InternalError("there is no segment " + segment.name);
    return program->second.Run(batch);
  }

 private:
  const std::map<std::string, IntegerProgram> programs_;  // by segment
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
  return std::make_unique<IntegerExecutor>(std::move(programs));
}

}  // namespace qwt
