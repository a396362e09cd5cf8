#include "quant/site_quantizer.h"

#include "absl/strings/str_cat.h"
#include "c10/util/Exception.h"
#include "core/base/status.h"
#include "core/tensor/parallel.h"
#include "quant/sites.h"

namespace qwt {

absl::StatusOr<SiteQuantizer> SiteQuantizer::Make(const std::string& site, const SiteQuantization& quantization,
                                                  at::Device device) {
  SiteQuantizer result;
  result.site_ = site;
  result.quantization_ = {quantization.spec, quantization.scale.to(device), quantization.zero_point.to(device)};
  auto quantizer = MakeQuantizer(quantization.spec.quantizer);
  if (!quantizer.ok()) return Annotate(quantizer.status(), site);
  result.quantizer_ = *std::move(quantizer);
  return result;
}

at::Tensor SiteQuantizer::Apply(const at::Tensor& x) const {
  const int64_t channels = LayoutOf(x, quantization_.spec).channels;
  TORCH_CHECK(channels == quantization_.scale.numel(), site_, ": ", channels, " channels, but ",
              quantization_.scale.numel(), " scales");
  return quantizer_->Apply(x, quantization_);
}

absl::StatusOr<at::Tensor> FindWeight(const Node& node, const TensorMap& parameters) {
  const auto found = parameters.find(node.weight);
  if (found == parameters.end()) {
    return absl::FailedPreconditionError(absl::StrCat(node.name, ": there is no parameter '", node.weight, "'"));
  }
  return found->second;
}

absl::StatusOr<TensorMap> QuantizeWeights(const Graph& graph, const TensorMap& parameters, const QuantPlan& plan,
                                          int threads) {
  std::vector<const Node*> nodes;
  for (const Site& site : QuantSites(graph)) {
    if (site.role == SiteRole::kWeight && plan.count(site.name)) nodes.push_back(site.node);
  }
  std::vector<at::Tensor> weights(nodes.size());
  QWT_RETURN_IF_ERROR(ParallelFor(nodes.size(), threads, [&](int64_t i) -> absl::Status {
    const std::string site = WeightSite(*nodes[i]);
    QWT_ASSIGN_OR_RETURN(const at::Tensor weight, FindWeight(*nodes[i], parameters));
    QWT_ASSIGN_OR_RETURN(const SiteQuantizer quantizer, SiteQuantizer::Make(site, plan.at(site), weight.device()));
    weights[i] = quantizer.Apply(weight);
    return absl::OkStatus();
  }));
  TensorMap quantized = parameters;
  for (size_t i = 0; i < nodes.size(); ++i) quantized[nodes[i]->weight] = weights[i];
  return quantized;
}

}  // namespace qwt
