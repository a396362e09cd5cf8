#include "quant/integer/program.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {

absl::StatusOr<at::Tensor> IntegerProgram::Run(const at::Tensor& batch, const StepObserver& observe) const {
  std::vector<int> last_uses(values, -1);
  for (size_t i = 0; i < steps.size(); ++i) {
    for (int input : steps[i].inputs) last_uses[input] = static_cast<int>(i);
  }
  std::vector<at::Tensor> held(values);
  held[0] = batch;
  for (size_t i = 0; i < steps.size(); ++i) {
    const IntegerStep& step = steps[i];
    std::vector<at::Tensor> inputs;
    for (int input : step.inputs) inputs.push_back(held[input]);
    try {
      held[step.output] = step.run(inputs);
      if (observe) observe(step, held[step.codes < 0 ? step.output : step.codes]);
    } catch (...) {
      return StatusFromCurrentException(absl::StrCat("'", step.name, "' as integers"));
    }
    inputs.clear();
    for (int input : step.inputs) {
      if (last_uses[input] == static_cast<int>(i)) held[input] = at::Tensor();
    }
  }
  return held[result];
}

}  // namespace qwt
