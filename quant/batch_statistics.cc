#include "quant/batch_statistics.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/topk.h"
#include "ATen/ops/zeros.h"
#include "core/tensor/stream.h"
#include "quant/kernels/gpu.h"
#include "quant/kernels/statistics.h"

namespace qwt {
namespace {

// x as [channels, values of one channel], contiguous.
at::Tensor ChannelsFirst(const at::Tensor& x, const ChannelLayout& layout) {
  return x.view({layout.outer, layout.channels, layout.inner})
      .transpose(0, 1)
      .contiguous()
      .view({layout.channels, layout.outer * layout.inner});
}

at::Tensor ToTensor(std::vector<LargestValues>& channels, int64_t kept) {
  at::Tensor values = at::full({static_cast<int64_t>(channels.size()), kept}, -std::numeric_limits<float>::infinity());
  for (size_t c = 0; c < channels.size(); ++c) {
    const std::vector<float>& sorted = channels[c].Sorted();
    std::copy(sorted.begin(), sorted.end(), values.data_ptr<float>() + c * kept);
  }
  return values;
}

Extremes ExtremesOnCpu(const at::Tensor& rows, int64_t kept_largest, int64_t kept_smallest) {
  const int64_t channels = rows.size(0), n = rows.size(1);
  std::vector<LargestValues> largest(channels, LargestValues(kept_largest));
  std::vector<LargestValues> smallest(channels, LargestValues(kept_smallest));
  for (int64_t c = 0; c < channels; ++c) {
    AddExtremes(rows.const_data_ptr<float>() + c * n, n, &largest[c], &smallest[c]);
  }
  return {ToTensor(largest, kept_largest), ToTensor(smallest, kept_smallest)};
}

}  // namespace

bool AllFinite(const at::Tensor& x) {
  if (!x.is_cpu()) return at::isfinite(x).all().item<bool>();
  return AllFinite(x.const_data_ptr<float>(), x.numel());
}

Extremes ExtremesOf(const at::Tensor& x, const ChannelLayout& layout, int64_t kept_largest, int64_t kept_smallest) {
  const at::Tensor rows = ChannelsFirst(x, layout);
  kept_largest = std::min(kept_largest, rows.size(1));
  kept_smallest = std::min(kept_smallest, rows.size(1));
  if (x.is_cpu()) return ExtremesOnCpu(rows, kept_largest, kept_smallest);
  return {std::get<0>(at::topk(rows, kept_largest)).cpu(),
          std::get<0>(at::topk(rows, kept_smallest, -1, /*largest=*/false)).neg().cpu()};
}

at::Tensor SquaredErrors(const at::Tensor& x, const at::Tensor& y, const ChannelLayout& layout) {
  const float *a = x.const_data_ptr<float>(), *b = y.const_data_ptr<float>();
  if (x.is_cpu()) {
    at::Tensor sums = at::zeros({layout.channels}, at::kDouble);
    AddSquaredErrors(a, b, layout.outer, layout.channels, layout.inner, sums.mutable_data_ptr<double>());
    return sums;
  }
  at::Tensor parts = at::empty({SquaredErrorParts(layout.outer, layout.channels, layout.inner), layout.channels},
                               x.options().dtype(at::kDouble));
  RunOnStreamOf(x, [&](void* stream) {
    SquaredErrorsOnGpu(a, b, layout.outer, layout.channels, layout.inner, parts.mutable_data_ptr<double>(), stream);
  });
  return parts.sum(0);
}

}  // namespace qwt
