#include "quant/fake_quant_executor.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"

namespace qwt {
namespace {

class FakeQuantExecutor : public Executor {
 public:
  FakeQuantExecutor(TensorMap parameters, std::map<std::string, SiteQuantizer> inputs)
      : parameters_(std::move(parameters)), inputs_(std::move(inputs)) {}

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    return RunNodes(segment, batch, [this](const Node& node, const std::vector<at::Tensor>& inputs) {
      std::vector<at::Tensor> quantized = inputs;
      const std::vector<std::string> sites = InputSites(node);
      for (size_t i = 0; i < sites.size(); ++i) {
        const auto quantizer = inputs_.find(sites[i]);
        if (quantizer != inputs_.end()) quantized[i] = quantizer->second.Apply(inputs[i]);
      }
      return EvaluateNode(node, quantized, parameters_);
    });
  }

 private:
  const TensorMap parameters_;                         // weights quantised
  const std::map<std::string, SiteQuantizer> inputs_;  // by site
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeFakeQuantExecutor(const Graph& graph, const TensorMap& parameters,
                                                                const QuantPlan& plan) {
  const at::Device device = DeviceOf(parameters);
  std::map<std::string, SiteQuantizer> inputs;
  QuantPlan unknown = plan;
  for (const Site& site : QuantSites(graph)) {
    const auto found = plan.find(site.name);
    if (found == plan.end()) continue;
    unknown.erase(site.name);
    if (site.role == SiteRole::kWeight) continue;
    QWT_ASSIGN_OR_RETURN(SiteQuantizer quantizer, SiteQuantizer::Make(site.name, found->second, device));
    inputs.emplace(site.name, std::move(quantizer));
  }
  if (!unknown.empty()) {
    const auto name = [](std::string* out, const auto& entry) { out->append(entry.first); };
    return absl::InvalidArgumentError(absl::StrCat("the quantisation plan is not for ", graph.name,
                                                   ", which has no site ", absl::StrJoin(unknown, ", ", name)));
  }
  QWT_ASSIGN_OR_RETURN(TensorMap quantized, QuantizeWeights(graph, parameters, plan, /*threads=*/1));
  return std::make_unique<FakeQuantExecutor>(std::move(quantized), std::move(inputs));
}

}  // namespace qwt
