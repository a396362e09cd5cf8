// Percentile: every scale is the best of a few percentile ranges (the reference's base method for ResNets).
#include "quant/methods/common/uniform_method.h"

namespace qwt {
namespace {

const bool registered = QuantMethodRegistry::Get().Register(
    {{"percentile", "Uniform everywhere; the percentile range with the lowest squared error.",
      UniformMethodSchema({PercentilesOption()})},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<QuantMethod>> {
       return std::make_unique<UniformMethod>(options, options.Doubles("percentiles"));
     }});

}  // namespace
}  // namespace qwt
