#include "quant/quantizer.h"

#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/zeros.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/tensor/stream.h"
#include "quant/kernels/gpu.h"
#include "quant/kernels/statistics.h"

namespace qwt {
namespace {

// Σ (x - y)² of each channel: float64 [channels], where x lies. Both contiguous.
at::Tensor SquaredErrors(const at::Tensor& x, const at::Tensor& y, const ChannelLayout& layout) {
  const float *a = x.const_data_ptr<float>(), *b = y.const_data_ptr<float>();
  if (x.is_cpu()) {
    at::Tensor sums = at::zeros({layout.channels}, at::kDouble);
    AddSquaredErrors(a, b, layout.outer, layout.channels, layout.inner, sums.mutable_data_ptr<double>());
    return sums;
  }
  const int64_t count = ErrorParts({1, layout.outer, layout.channels, layout.inner});
  at::Tensor parts = at::empty({count, layout.channels}, x.options().dtype(at::kDouble));
  RunOnStreamOf(x, [&](void* stream) {
    SquaredErrorsOnGpu(a, b, layout.outer, layout.channels, layout.inner, parts.mutable_data_ptr<double>(), stream);
  });
  return parts.sum(0);
}

}  // namespace

at::Tensor Quantizer::Errors(const at::Tensor& x, const QuantSpec& spec, const at::Tensor& scales,
                             const at::Tensor& zero_points) const {
  const at::Tensor input = x.contiguous();
  const ChannelLayout layout = LayoutOf(input, spec);
  std::vector<at::Tensor> errors;
  for (int64_t j = 0; j < scales.size(0); ++j) {
    errors.push_back(SquaredErrors(input, Apply(input, {spec, scales[j], zero_points[j]}), layout));
  }
  return at::stack(errors);
}

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
