#include "quant/size.h"

#include "quant/sites.h"

namespace qwt {

WeightBits PublishedWeightBits(const Graph& graph, int bits) {
  WeightBits weight_bits;
  for (const Site& site : QuantSites(graph)) {
    if (site.role == SiteRole::kWeight) weight_bits[site.node->weight] = site.at_border ? kBorderBits : bits;
  }
  return weight_bits;
}

int64_t ParameterBits(const std::vector<ParameterSpec>& parameters, const WeightBits& weight_bits) {
  constexpr int kFloatBits = 32;
  int64_t bits = 0;
  for (const ParameterSpec& parameter : parameters) {
    const auto found = weight_bits.find(parameter.name);
    bits += parameter.numel() * (found == weight_bits.end() ? kFloatBits : found->second);
  }
  return bits;
}

}  // namespace qwt
