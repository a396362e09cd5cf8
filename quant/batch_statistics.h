// What the scale search takes of one batch of a site's values, where the batch lies: on the CPU by this thread, on a
// GPU for all channels at once.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "quant/quantizer.h"

namespace qwt {

// x: float32, contiguous, as are all x here.
bool AllFinite(const at::Tensor& x);

// The largest values of every channel, largest first, and the smallest negated, likewise: float32 [channels, kept] on
// the CPU.
struct Extremes {
  at::Tensor largest, smallest_negated;
};
// Fewer than asked for where a channel has fewer values. x must be finite.
Extremes ExtremesOf(const at::Tensor& x, const ChannelLayout& layout, int64_t kept_largest, int64_t kept_smallest);

// Σ (x - y)² of each channel: float64 [channels], where x lies. The same bits every time.
at::Tensor SquaredErrors(const at::Tensor& x, const at::Tensor& y, const ChannelLayout& layout);

}  // namespace qwt
