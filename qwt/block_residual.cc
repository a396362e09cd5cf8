#include "qwt/block_residual.h"

#include <initializer_list>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/isfinite.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "models/shape.h"

namespace qwt {
namespace {

absl::Status Check(const std::string& block, const at::Tensor& x, const at::Tensor& y_float,
                   const at::Tensor& y_quant) {
  if (y_float.sizes() != y_quant.sizes() || x.dim() < 2 || x.dim() != y_float.dim() ||
      x.sizes().slice(0, x.dim() - 1) != y_float.sizes().slice(0, x.dim() - 1)) {
    return absl::InvalidArgumentError(absl::StrCat("block ", block, ": its input ", ShapeText(x.sizes()),
                                                   ", float output ", ShapeText(y_float.sizes()),
                                                   " and quantised output ", ShapeText(y_quant.sizes()),
                                                   " do not fit together; all but the last dimension must be equal"));
  }
  using Named = std::pair<const char*, const at::Tensor*>;
  for (const auto& [name, tensor] :
       {Named("input", &x), Named("float output", &y_float), Named("quantised output", &y_quant)}) {
    if (tensor->scalar_type() != at::kFloat) {
      return absl::InvalidArgumentError(absl::StrCat("block ", block, ": its ", name, " is ",
                                                     c10::toString(tensor->scalar_type()), "; float32 is needed"));
    }
    if (!at::isfinite(*tensor).all().item<bool>()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "block ", block, ": its ", name,
          " holds NaN or infinity, which nothing can be fitted to; look for them in the weights and images"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<at::Tensor> BlockResidual(const std::string& block, const at::Tensor& x, const at::Tensor& y_float,
                                         const at::Tensor& y_quant) {
  QWT_RETURN_IF_ERROR(Check(block, x, y_float, y_quant));
  return y_float - y_quant;
}

}  // namespace qwt
