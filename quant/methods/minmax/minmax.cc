// Min-max: every scale spans the whole range of what it quantises.
#include "quant/methods/common/uniform_method.h"

namespace qwt {
namespace {

const bool registered = QuantMethodRegistry::Get().Register(
    {{"minmax", "Uniform everywhere; scales span the smallest to the largest value.", UniformMethodSchema()},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<QuantMethod>> {
       return std::make_unique<UniformMethod>(options, std::vector<double>{1.0});
     }});

}  // namespace
}  // namespace qwt
