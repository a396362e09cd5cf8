#include "qwt/quantized_model.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "quant/fake_quant_executor.h"
#include "quant/integer/integer_executor.h"
#include "quant/sites.h"
#include "quant/size.h"

namespace qwt {
namespace {

class CompensatedExecutor : public Executor {
 public:
  CompensatedExecutor(const QuantizedModel& model, std::unique_ptr<Executor> quantized,
                      std::unique_ptr<Compensator> compensator, at::Device device)
      : quantized_(std::move(quantized)), compensator_(std::move(compensator)) {
    for (const BlockSolution& solution : model.compensation) {
      BlockSolution& there = solutions_[solution.block] = solution;
      there.tensors = ToDevice(solution.tensors, device);
    }
  }

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    QWT_ASSIGN_OR_RETURN(at::Tensor output, quantized_->Run(segment, batch));
    const auto solution = solutions_.find(segment.name);
    if (solution == solutions_.end()) return output;
    QWT_RETURN_IF_ERROR(CatchExceptions(absl::StrCat("compensating ", segment.name), [&] {
      output = compensator_->Apply(solution->second, batch, output);
      return absl::OkStatus();
    }));
    return output;
  }

 private:
  std::unique_ptr<Executor> quantized_;
  std::unique_ptr<Compensator> compensator_;
  std::map<std::string, BlockSolution> solutions_;  // by block
};

}  // namespace

std::map<std::string, std::string> QuantizedWeights(const QuantizedModel& model) {
  std::map<std::string, std::string> weights;
  for (const Site& site : QuantSites(model.graph)) {
    if (site.role == SiteRole::kWeight && model.plan.count(site.name)) weights[site.node->weight] = site.name;
  }
  return weights;
}

absl::StatusOr<std::unique_ptr<Executor>> MakeQuantizedExecutor(const QuantizedModel& model, bool compensated,
                                                                at::Device device, Numerics numerics) {
  const auto quantized = [&](const AddedProducts& added) -> absl::StatusOr<std::unique_ptr<Executor>> {
    const TensorMap parameters = ToDevice(model.parameters, device);
    if (numerics == Numerics::kInteger) return MakeIntegerExecutor(model.graph, parameters, model.plan, added);
    return MakeFakeQuantExecutor(model.graph, parameters, model.plan);
  };
  if (!compensated) return quantized({});
  if (model.compensation.empty()) return absl::FailedPreconditionError("the model has no compensation");
  QWT_ASSIGN_OR_RETURN(const auto* component, CompensatorRegistry::Get().Find(model.compensator));
  // What a compensator applies is in its solutions; its options matter to a fit alone.
  Problems problems;
  const Options defaults = CheckOptions(ConfigNode::EmptyMap(), component->schema, &problems);
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  QWT_ASSIGN_OR_RETURN(std::unique_ptr<Compensator> compensator, component->create(defaults));
  AddedProducts added;
  QuantizedModel rest = model;
  rest.compensation.clear();
  for (const BlockSolution& solution : model.compensation) {
    const bool fuses = numerics == Numerics::kInteger && !device.is_cpu();
    const std::optional<AddedProduct> product = fuses ? compensator->Added(solution) : std::nullopt;
    if (product) {
      added[solution.block] = {product->weight.to(device), product->bias.to(device)};
    } else {
      rest.compensation.push_back(solution);
    }
  }
  QWT_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor, quantized(added));
  if (rest.compensation.empty()) return executor;
  return std::make_unique<CompensatedExecutor>(rest, std::move(executor), std::move(compensator), device);
}

double FloatSizeMb(const Graph& graph) { return BitsToMb(ParameterBits(TrainedParameters(graph), {})); }

double QuantizedSizeMb(const QuantizedModel& model, bool compensated) {
  WeightBits widths;
  for (const auto& [name, site] : QuantizedWeights(model)) {
    widths[name] = model.plan.at(site).spec.bits;
  }
  int64_t bits = ParameterBits(TrainedParameters(model.graph), widths);
  if (compensated) {
    for (const BlockSolution& solution : model.compensation) {
      for (const auto& [name, tensor] : solution.tensors) bits += 8 * static_cast<int64_t>(tensor.nbytes());
    }
  }
  return BitsToMb(bits);
}

}  // namespace qwt
