#include "quant/methods/common/uniform_method.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "quant/fold_batch_norm.h"
#include "quant/search.h"
#include "quant/sites.h"

namespace qwt {
namespace {

constexpr char kFromConfig[] = "from_config";

int ConvActivationBits(const Options& options) {
  return static_cast<int>(options.String("conv_activation_bits") == kFromConfig ? options.Int("activation_bits")
                                                                                : kBorderBits);
}

}  // namespace

Schema UniformMethodSchema(std::vector<Option> more) {
  Schema schema{
      {Option::Int("weight_bits", "Bits of a weight; the first convolution and the classifiers have 8.")
           .Range(2, 8)
           .Default("4"),
       Option::Int("activation_bits",
                   "Bits of an activation; the first convolution's and the classifiers' inputs have 8, those of other "
                   "convolutions as conv_activation_bits says.")
           .Range(2, 8)
           .Default("4"),
       Option::String(
           "conv_activation_bits",
           "Bits of every convolution's input: 8, as the published ResNets have whatever activation_bits is, "
           "or from_config: activation_bits. The first convolution's has 8 in any case.")
           .OneOf({"8", kFromConfig})
           .Default("8"),
       Option::Bool("fold_batch_norm",
                    "Whether each BatchNorm is folded into the convolution before it, whose weights are then "
                    "quantised as an engine runs them. The published ResNets leave it, in float32.")
           .Default("false"),
       OverridesOption()}};
  return Merge(schema, {std::move(more)});
}

Option PercentilesOption() {
  return Option::Doubles("percentiles",
                         "Ranges the scale search tries: quantiles p and 1 - p; 1 is the whole range. The published "
                         "three cut outliers off; of equally good ones the first is taken.")
      .Range(0.5, 1)
      .Default(absl::StrCat("[", absl::StrJoin(ReferencePercentiles(), ", "), "]"));
}

UniformMethod::UniformMethod(const Options& options, std::vector<double> percentiles, std::vector<double> fractions)
    : weight_bits_(static_cast<int>(options.Int("weight_bits"))),
      activation_bits_(static_cast<int>(options.Int("activation_bits"))),
      conv_activation_bits_(ConvActivationBits(options)),
      fold_batch_norm_(options.Bool("fold_batch_norm")),
      overrides_(ReadOverrides(options)),
      percentiles_(std::move(percentiles)),
      fractions_(std::move(fractions)) {}

int UniformMethod::BitsOf(const Site& site) const {
  if (site.at_border) return kBorderBits;
  if (site.role == SiteRole::kWeight) return weight_bits_;
  return site.node->op == Op::kConv2d ? conv_activation_bits_ : activation_bits_;
}

absl::StatusOr<QuantSpecs> UniformMethod::Specs(const Graph& graph) const {
  QuantSpecs specs;
  for (const Site& site : QuantSites(graph)) {
    QuantSpec& spec = specs[site.name];
    spec.percentiles = percentiles_;
    spec.fractions = fractions_;
    spec.bits = BitsOf(site);
    if (site.role == SiteRole::kWeight) {
      spec.granularity = Granularity::kPerChannel;
      spec.channel_dim = 0;
    }
  }
  QWT_RETURN_IF_ERROR(ApplyOverrides(graph, overrides_, &specs));
  return specs;
}

absl::Status UniformMethod::Prepare(Graph* graph, TensorMap* parameters) const {
  return fold_batch_norm_ ? FoldBatchNorms(graph, parameters) : absl::OkStatus();
}

}  // namespace qwt
