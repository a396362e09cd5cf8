// MSE: every scale is the best of a grid of ranges, each a fraction of the whole one. Not in the paper; the grid is the
// usual one of post-training methods (BRECQ, arXiv 2102.05426, tries 80 fractions in steps of 0.01).
#include "quant/methods/common/uniform_method.h"

namespace qwt {
namespace {

// 1 down to `smallest`, evenly.
std::vector<double> Grid(int64_t size, double smallest) {
  std::vector<double> fractions;
  for (int64_t i = 0; i < size; ++i) fractions.push_back(1 - (1 - smallest) * static_cast<double>(i) / (size - 1));
  return fractions;
}

Schema MakeSchema() {
  return UniformMethodSchema(
      {Option::Int("grid",
                   "How many ranges the scale search tries, for each tensor or channel by itself: the whole "
                   "range and evenly spaced fractions of it. The search takes as long as it has ranges.")
           .Range(2, 1000)
           .Default("81"),
       Option::Double("smallest_fraction",
                      "The smallest of them: ranges from fraction·min to fraction·max. Few bits want small ones.")
           .Range(0.001, 0.999)
           .Default("0.2")});
}

const bool registered = QuantMethodRegistry::Get().Register(
    {{"mse", "Uniform everywhere; of a grid of ranges the one with the lowest squared error.", MakeSchema()},
     [](const Options& options) -> absl::StatusOr<std::unique_ptr<QuantMethod>> {
       return std::make_unique<UniformMethod>(options, std::vector<double>{1.0},
                                              Grid(options.Int("grid"), options.Double("smallest_fraction")));
     }});

}  // namespace
}  // namespace qwt
