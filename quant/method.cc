#include "quant/method.h"

#include "core/base/status.h"

namespace qwt {

absl::StatusOr<std::unique_ptr<QuantMethod>> MakeQuantMethod(const std::string& name, const Options& options) {
  QWT_ASSIGN_OR_RETURN(const auto* component, QuantMethodRegistry::Get().Find(name));
  return component->create(options);
}

}  // namespace qwt
