#include "quant/extremes.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/constant_pad_nd.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/sort.h"
#include "ATen/ops/topk.h"
#include "ATen/ops/zeros.h"
#include "core/tensor/stream.h"
#include "quant/kernels/gpu.h"
#include "quant/kernels/statistics.h"

namespace qwt {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// x as [channels, values of one channel], contiguous.
at::Tensor ChannelsFirst(const at::Tensor& x, const ChannelLayout& layout) {
  return x.view({layout.outer, layout.channels, layout.inner})
      .transpose(0, 1)
      .contiguous()
      .view({layout.channels, layout.outer * layout.inner});
}

at::Tensor ExtremesOnCpu(const at::Tensor& rows, int64_t kept) {
  const int64_t channels = rows.size(0), n = rows.size(1);
  at::Tensor extremes = at::empty({2, channels, kept});
  float* to = extremes.mutable_data_ptr<float>();
  for (int64_t c = 0; c < channels; ++c) {
    LargestValues largest(kept), smallest(kept);
    AddExtremes(rows.const_data_ptr<float>() + c * n, n, &largest, &smallest);
    std::copy(largest.Sorted().begin(), largest.Sorted().end(), to + c * kept);
    std::copy(smallest.Sorted().begin(), smallest.Sorted().end(), to + (channels + c) * kept);
  }
  return extremes;
}

at::Tensor ExtremesByKernel(const at::Tensor& rows, int64_t kept) {
  const int64_t channels = rows.size(0), n = rows.size(1);
  at::Tensor extremes = at::empty({2, channels, kept}, rows.options());
  at::Tensor workspace = at::zeros({ExtremesWorkspace(channels, n)}, rows.options().dtype(at::kByte));
  RunOnStreamOf(rows, [&](void* stream) {
    ExtremesOnGpu(rows.const_data_ptr<float>(), channels, n, kept, workspace.mutable_data_ptr(),
                  extremes.mutable_data_ptr<float>(), stream);
  });
  return kept == 1 ? extremes : std::get<0>(at::sort(extremes, -1, /*descending=*/true));
}

}  // namespace

bool AllFinite(const at::Tensor& x) {
  if (!x.is_cpu()) return at::isfinite(x).all().item<bool>();
  return AllFinite(x.const_data_ptr<float>(), x.numel());
}

at::Tensor ExtremesOf(const at::Tensor& x, const ChannelLayout& layout, int64_t kept) {
  kept = std::min(kept, layout.outer * layout.inner);
  if (kept == 0) return at::empty({2, layout.channels, 0}, x.options());
  // The loops for the CPU pass NaN over.
  if (x.is_cpu() && !AllFinite(x)) return at::full({2, layout.channels, kept}, kInfinity);
  const at::Tensor rows = ChannelsFirst(x, layout);
  return x.is_cpu() ? ExtremesOnCpu(rows, kept) : ExtremesByKernel(rows, kept);
}

at::Tensor MergeExtremes(const std::vector<at::Tensor>& parts, int64_t channels, int64_t kept) {
  if (parts.empty()) return at::full({2, channels, kept}, -kInfinity);
  at::Tensor merged = parts[0];
  if (parts.size() > 1) {
    const at::Tensor all = at::cat(parts, 2);
    merged = std::get<0>(at::topk(all, std::min(kept, all.size(2))));
  }
  return at::constant_pad_nd(merged.cpu(), {0, kept - merged.size(2)}, -kInfinity).contiguous();
}

}  // namespace qwt
