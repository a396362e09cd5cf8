#include "quant/quantizer.h"

#include <vector>

#include "core/base/log.h"
#include "core/base/status.h"

namespace qwt {

absl::StatusOr<std::unique_ptr<Quantizer>> MakeQuantizer(const std::string& name) {
  QWT_ASSIGN_OR_RETURN(const auto* component, QuantizerRegistry::Get().Find(name));
  return component->create(Options());
}

ChannelLayout LayoutOf(const at::Tensor& x, const QuantSpec& spec) {
  ChannelLayout layout;
  if (spec.granularity == Granularity::kPerTensor) {
    layout.inner = x.numel();
    return layout;
  }
  const int64_t dim = spec.channel_dim < 0 ? x.dim() + spec.channel_dim : spec.channel_dim;
  QWT_CHECK(dim >= 0 && dim < x.dim());
  layout.inner = 1;
  for (int64_t i = 0; i < x.dim(); ++i) {
    if (i == dim) {
      layout.channels = x.size(i);
    } else {
      (i < dim ? layout.outer : layout.inner) *= x.size(i);
    }
  }
  return layout;
}

at::Tensor AsChannelsOf(const at::Tensor& x, const at::Tensor& values, const QuantSpec& spec) {
  if (spec.granularity == Granularity::kPerTensor) return values;
  std::vector<int64_t> shape(x.dim(), 1);
  shape[spec.channel_dim < 0 ? x.dim() + spec.channel_dim : spec.channel_dim] = values.numel();
  return values.view(shape);
}

}  // namespace qwt
