#include "quant/integer/fake_step.h"

#include <optional>

#include "core/base/status.h"
#include "models/executor.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"

namespace qwt {

absl::StatusOr<StepFunction> FakeStep(const Node& node, const TensorMap& parameters, const QuantPlan& plan,
                                      at::Device device) {
  std::vector<std::optional<SiteQuantizer>> quantizers(node.inputs.size());
  const std::vector<std::string> sites = InputSites(node);
  for (size_t i = 0; i < sites.size(); ++i) {
    const auto site = plan.find(sites[i]);
    if (site == plan.end()) continue;
    QWT_ASSIGN_OR_RETURN(quantizers[i], SiteQuantizer::Make(sites[i], site->second, device));
  }
  TensorMap own;
  for (const std::string& name : node.ParameterNames()) own[name] = parameters.at(name);
  const auto weight_site = plan.find(WeightSite(node));
  if (weight_site != plan.end()) {
    QWT_ASSIGN_OR_RETURN(const at::Tensor weight, FindWeight(node, parameters));
    QWT_ASSIGN_OR_RETURN(const SiteQuantizer quantizer,
                         SiteQuantizer::Make(weight_site->first, weight_site->second, device));
    own[node.weight] = quantizer.Apply(weight);
  }
  return StepFunction([=](const std::vector<at::Tensor>& inputs) {
    std::vector<at::Tensor> quantized = inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (quantizers[i]) quantized[i] = quantizers[i]->Apply(inputs[i]);
    }
    return EvaluateNode(node, quantized, own);
  });
}

}  // namespace qwt
