// Pillow's antialiased bicubic resize, bit by bit.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace qwt {

// Part of an image; all in pixels.
struct Box {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

// Resizes uint8 [h, w, 3] to [height, width, 3] and cuts `box` out of that; only what the box shows is computed.
// Pillow's Image.resize((width, height), BICUBIC) on 8-bit channels: the kernel (a = -0.5) stretched by the scale when
// shrinking, weights rounded to 22 bits after the point, horizontal pass, then vertical pass on its 8-bit result. The
// box must lie inside.
at::Tensor ResizeBicubicAndCrop(const at::Tensor& pixels, int64_t height, int64_t width, const Box& box);

}  // namespace qwt
