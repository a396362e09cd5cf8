#include "quant/methods/common/uniform_specs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "quant/search.h"
#include "quant/sites.h"

namespace qwt {

Option WeightBitsOption() {
  return Option::Int("weight_bits", "Bits of a weight; the first convolution and the classifiers have 8.")
      .Range(2, 8)
      .Default("4");
}

Option ActivationBitsOption() {
  return Option::Int("activation_bits",
                     "Bits of an activation; the first convolution's and the classifiers' inputs have 8.")
      .Range(2, 8)
      .Default("4");
}

Option PercentilesOption() {
  return Option::Doubles("percentiles", "Ranges the scale search tries: quantiles p and 1 - p; 1 is the whole range.")
      .Range(0.5, 1)
      .Default(absl::StrCat("[", absl::StrJoin(ReferencePercentiles(), ", "), "]"));
}

UniformOptions ReadUniformOptions(const Options& options, std::vector<double> percentiles) {
  return {static_cast<int>(options.Int("weight_bits")), static_cast<int>(options.Int("activation_bits")),
          std::move(percentiles)};
}

QuantSpecs UniformSpecs(const Graph& graph, const UniformOptions& options) {
  QuantSpecs specs;
  for (const Site& site : QuantSites(graph)) {
    QuantSpec& spec = specs[site.name];
    spec.percentiles = options.percentiles;
    const bool weight = site.role == SiteRole::kWeight;
    spec.bits = site.at_border ? kBorderBits : (weight ? options.weight_bits : options.activation_bits);
    if (weight) {
      spec.granularity = Granularity::kPerChannel;
      spec.channel_dim = 0;
    }
  }
  return specs;
}

}  // namespace qwt
