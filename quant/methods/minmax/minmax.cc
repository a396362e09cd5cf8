// Min-max: every scale spans the whole range of what it quantises.
#include "quant/method.h"
#include "quant/methods/common/uniform_specs.h"

namespace qwt {
namespace {

class MinMaxMethod : public QuantMethod {
 public:
  explicit MinMaxMethod(UniformOptions options) : options_(std::move(options)) {}
  absl::StatusOr<QuantSpecs> Specs(const Graph& graph) const override { return UniformSpecs(graph, options_); }

 private:
  const UniformOptions options_;
};

const bool registered = QuantMethodRegistry::Get().Register(
    {{"minmax", "Uniform everywhere; scales span the smallest to the largest value.",
      Schema{{WeightBitsOption(), ActivationBitsOption()}}},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<QuantMethod>> {
       return std::make_unique<MinMaxMethod>(ReadUniformOptions(options, {1.0}));
     }});

}  // namespace
}  // namespace qwt
