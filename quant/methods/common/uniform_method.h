// What the methods share: their options, and uniform quantisers everywhere (algorithms section 1).
#pragma once

#include <vector>

#include "core/config/schema.h"
#include "quant/method.h"
#include "quant/methods/common/overrides.h"
#include "quant/sites.h"

namespace qwt {

// weight_bits, activation_bits, conv_activation_bits, fold_batch_norm, overrides: what every method takes. `more` are
// the method's own.
Schema UniformMethodSchema(std::vector<Option> more = {});
Option PercentilesOption();  // by default the reference's three

// Weights per output channel, activations per tensor; 8 bits for both at the first convolution and the classifiers, and
// for every convolution's input unless the config says otherwise; overrides last. A method that differs derives from
// it.
class UniformMethod : public QuantMethod {
 public:
  // percentiles, fractions: the candidate ranges of every site (QuantSpec).
  UniformMethod(const Options& options, std::vector<double> percentiles, std::vector<double> fractions = {1.0});

  absl::StatusOr<QuantSpecs> Specs(const Graph& graph) const override;
  absl::Status Prepare(Graph* graph, TensorMap* parameters) const override;

 private:
  int BitsOf(const Site& site) const;

  const int weight_bits_, activation_bits_, conv_activation_bits_;
  const bool fold_batch_norm_;
  const std::vector<BitOverride> overrides_;
  const std::vector<double> percentiles_, fractions_;
};

}  // namespace qwt
