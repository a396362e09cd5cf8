// The scale search: of the spec's candidate ranges the first with the lowest squared error wins (algorithms sections 2
// and 3). All channels at once, each by itself; equal results to the last bit whatever the ranks' shares and threads.
#pragma once

#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "quant/plan.h"

namespace qwt {

// The percentiles of the reference's search.
const std::vector<double>& ReferencePercentiles();

// batches: this rank's part of the site's values, float32, on one device, maybe none; every rank of `comm` calls. The
// result lies on the CPU. InvalidArgument, on
// every rank and naming `site`: NaN or infinity, no values at all, or a spec that nothing can meet. Constant channels
// keep their value exactly, with one INFO line a site.
absl::StatusOr<SiteQuantization> SearchScale(const std::string& site, const QuantSpec& spec,
                                             const std::vector<at::Tensor>& batches, Communicator& comm, int threads);

// Where quantile p of n values lies: between order statistics `below` and `below` + 1, `fraction` of the way. As
// torch.quantile has it, p and p·(n-1) are float32 up to 16 million values, where the reference changes to a float64
// percentile.
struct QuantilePosition {
  int64_t below = 0;
  float fraction = 0;
};
QuantilePosition PositionOfQuantile(double p, int64_t n);

}  // namespace qwt
