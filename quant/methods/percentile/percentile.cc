// Percentile: every scale is the best of a few percentile ranges (the reference's base method for ResNets).
#include "quant/method.h"
#include "quant/methods/common/uniform_specs.h"

namespace qwt {
namespace {

class PercentileMethod : public QuantMethod {
 public:
  explicit PercentileMethod(UniformOptions options) : options_(std::move(options)) {}
  absl::StatusOr<QuantSpecs> Specs(const Graph& graph) const override { return UniformSpecs(graph, options_); }

 private:
  const UniformOptions options_;
};

const bool registered = QuantMethodRegistry::Get().Register(
    {{"percentile", "Uniform everywhere; the percentile range with the lowest squared error.",
      Schema{{WeightBitsOption(), ActivationBitsOption(), PercentilesOption()}}},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<QuantMethod>> {
       return std::make_unique<PercentileMethod>(ReadUniformOptions(options, options.Doubles("percentiles")));
     }});

}  // namespace
}  // namespace qwt
