// The extreme order statistics of a site's values, where they lie: on the CPU by this thread, on a GPU for all channels
// at once.
#pragma once

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "quant/quantizer.h"

namespace qwt {

// x: float32, contiguous, as are all x here.
bool AllFinite(const at::Tensor& x);

// Of each channel of one batch the `kept` largest values, largest first, and the smallest negated, likewise: float32
// [2, channels, kept], where x lies; fewer than `kept` where a channel has fewer values. Where x holds NaN or infinity,
// so do its extremes hold an infinity. On a GPU nothing waits.
at::Tensor ExtremesOf(const at::Tensor& x, const ChannelLayout& layout, int64_t kept);

// The extremes of several batches' values from those of each: float32 [2, channels, kept] on the CPU, -infinity where
// there are fewer values. parts: maybe none.
at::Tensor MergeExtremes(const std::vector<at::Tensor>& parts, int64_t channels, int64_t kept);

}  // namespace qwt
