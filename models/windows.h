// Swin's rearrangements of tokens (Liu et al., arXiv 2103.14030), as in timm 0.4.12. Tokens lie row by row.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace qwt {

// height x width tokens in windows of window x window, which divide both; 0 <= shift < window.
struct WindowGrid {
  int64_t height, width, window, shift;

  int64_t windows() const { return (height / window) * (width / window); }
};

// [N, height*width, C] -> [N*windows, window², C]: rolled up and left by shift, then cut, the windows row by row.
at::Tensor SplitWindows(const at::Tensor& x, const WindowGrid& grid);
// Back: [N*windows, window², C] -> [N, height*width, C].
at::Tensor MergeWindows(const at::Tensor& x, const WindowGrid& grid);

// The two below are made once for each device and shared: they must not be written to. Thread safe.

// Row of the bias table for each pair of a window's tokens, int64 [window² * window²]: how far the second (key) lies
// from the first (query), each direction counted from 0 for window - 1 rows or columns after it.
at::Tensor RelativePositionIndex(int64_t window, at::Device device = at::kCPU);

// float32 [windows, window², window²]: -100 where rolling brought two tokens into one window that came from different
// sides of the image, else 0.
at::Tensor WindowMask(const WindowGrid& grid, at::Device device = at::kCPU);

// [N, height*width, C] -> [N, height*width/4, 4C], both even: of each 2 x 2 tokens the channels of (row 0, column 0),
// (1, 0), (0, 1) and (1, 1).
at::Tensor MergePatches(const at::Tensor& x, int64_t height, int64_t width);

}  // namespace qwt
