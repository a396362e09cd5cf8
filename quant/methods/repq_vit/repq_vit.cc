// RepQ-ViT (arXiv 2212.08254): LayerNorm outputs are calibrated per channel, then re-parameterised to per tensor by
// moving the difference into the LayerNorm and the next layer; softmax outputs are quantised to powers of √2.
#include <set>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "quant/methods/common/uniform_method.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"

namespace qwt {
namespace {

// Algorithms section 4, in float32 as the reference. A channel that the LayerNorm makes constant (its weight there is
// 0) has no range to speak of; it moves into the next layer's bias as a whole, which leaves 0, exact at any scale.
struct Reparameterisation {
  at::Tensor scale, zero_point;  // [1], of the whole tensor
  at::Tensor ratio, shift;       // [C]: r and c

  // norm_weight, norm_bias: the LayerNorm's, [C].
  Reparameterisation(const SiteQuantization& per_channel, const at::Tensor& norm_weight, const at::Tensor& norm_bias,
                     bool round_zero_point) {
    const at::Tensor constant = norm_weight == 0;
    const bool all_constant = constant.all().item<bool>();
    const at::Tensor counted = all_constant ? constant : constant.logical_not();
    const at::Tensor& s = per_channel.scale;
    const at::Tensor& z = per_channel.zero_point;
    scale = s.masked_select(counted).mean().view({1});
    zero_point = z.masked_select(counted).mean().view({1});
    if (round_zero_point) zero_point = zero_point.round();
    ratio = (s / scale).masked_fill(constant, 1);
    shift = at::where(constant, norm_bias, (-z * s) / ratio - (-zero_point * scale));
  }
};

class RepqVitMethod : public UniformMethod {
 public:
  explicit RepqVitMethod(const Options& options)
      : UniformMethod(options, options.Doubles("percentiles")),
        log_floor_(options.String("log_floor") == "reference" ? kReferenceLogFloor : 0),
        round_zero_point_(options.Bool("round_zero_point")) {}

  absl::StatusOr<QuantSpecs> Specs(const Graph& graph) const override {
    QWT_ASSIGN_OR_RETURN(QuantSpecs specs, UniformMethod::Specs(graph));
    for (const Site& site : QuantSites(graph)) {
      QuantSpec& spec = specs.at(site.name);
      if (site.role == SiteRole::kSoftmaxOperand) {
        spec.quantizer = "log_sqrt2";
        spec.log_floor = log_floor_;
      }
      if (site.role != SiteRole::kNormalizedInput) continue;
      spec.granularity = Granularity::kPerChannel;
      spec.channel_dim = -1;
    }
    return specs;
  }

  absl::Status Rewrite(Graph* graph, TensorMap* parameters, QuantPlan* plan) const override {
    QWT_RETURN_IF_ERROR(AddBiases(graph, parameters));
    for (const Site& site : QuantSites(*graph)) {
      if (site.role != SiteRole::kNormalizedInput) continue;
      const auto found = plan->find(site.name);
      if (found == plan->end() || found->second.spec.granularity != Granularity::kPerChannel) {
        return absl::FailedPreconditionError(absl::StrCat(
            "repq_vit: ", site.name, " has no scales per channel; calibrate with the method's own specs first"));
      }
      QWT_RETURN_IF_ERROR(RewriteSite(site, parameters, &found->second));
      plan->erase(WeightSite(*site.node));
    }
    return absl::OkStatus();
  }

 private:
  // Zeros where a linear that will be rewritten has no bias: a part of the scale moves there.
  static absl::Status AddBiases(Graph* graph, TensorMap* parameters) {
    std::set<std::string> names;
    for (const Site& site : QuantSites(*graph)) {
      if (site.role == SiteRole::kNormalizedInput && site.node->bias.empty()) names.insert(site.node->name);
    }
    for (Segment* segment : graph->MutableSegments()) {
      for (Node& node : segment->nodes) {
        if (!names.count(node.name)) continue;
        QWT_ASSIGN_OR_RETURN(const at::Tensor weight, FindWeight(node, *parameters));
        node.bias = absl::StrCat(node.name, ".bias");
        graph->parameters.push_back({node.bias, {weight.size(0)}});
        (*parameters)[node.bias] = at::zeros({weight.size(0)}, at::kFloat);
      }
    }
    return absl::OkStatus();
  }

  absl::Status RewriteSite(const Site& site, TensorMap* parameters, SiteQuantization* quantization) const {
    at::Tensor* tensors[4];
    const std::string names[4] = {site.layer_norm->weight, site.layer_norm->bias, site.node->weight, site.node->bias};
    for (int i = 0; i < 4; ++i) {
      const auto found = parameters->find(names[i]);
      if (found == parameters->end()) {
        return absl::FailedPreconditionError(absl::StrCat("repq_vit: there is no parameter '", names[i], "'"));
      }
      tensors[i] = &found->second;
    }
    return CatchExceptions(absl::StrCat("repq_vit: re-parameterising ", site.name), [&] {
      const Reparameterisation to(*quantization, *tensors[0], *tensors[1], round_zero_point_);
      // New tensors: the old ones may be views of a file, and the caller's.
      *tensors[0] = *tensors[0] / to.ratio;
      *tensors[1] = *tensors[1] / to.ratio - to.shift;
      *tensors[2] = *tensors[2] * to.ratio;
      *tensors[3] = *tensors[3] + at::matmul(*tensors[2], to.shift);
      quantization->scale = to.scale;
      quantization->zero_point = to.zero_point;
      quantization->spec.granularity = Granularity::kPerTensor;
      return absl::OkStatus();
    });
  }

  static constexpr double kReferenceLogFloor = 1e-6;
  const double log_floor_;
  const bool round_zero_point_;
};

Schema MakeSchema() {
  return UniformMethodSchema(
      {PercentilesOption(),
       Option::String("log_floor",
                      "Smallest softmax output over its scale: 1e-6 as in the published QwT code (from 6 bits up an "
                      "exact 0 becomes 2^-20 of the scale), or none, where an exact 0 stays 0, as in RepQ-ViT's own.")
           .OneOf({"reference", "none"})
           .Default("reference"),
       Option::Bool("round_zero_point",
                    "Whole zero points after re-parameterisation, as integer arithmetic needs them. The published "
                    "code has the mean of the channels' zero points, a fraction.")
           .Default("false")});
}

const bool registered = QuantMethodRegistry::Get().Register(
    {{"repq_vit", "RepQ-ViT: LayerNorm outputs re-parameterised, softmax outputs in powers of sqrt(2).", MakeSchema()},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<QuantMethod>> {
       return std::make_unique<RepqVitMethod>(options);
     }});

}  // namespace
}  // namespace qwt
