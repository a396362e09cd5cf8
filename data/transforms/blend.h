// An image drawn towards, or away from, one that lacks its colour, contrast, brightness or sharpness: Pillow's
// ImageEnhance.
#pragma once

#include "ATen/core/Tensor.h"

namespace qwt {

// All take and give uint8 [h, w, 3]: lacking + factor (image - lacking) in float32, clipped to 0 .. 255 and truncated.
// Factor 0 gives the image that lacks it, 1 the image itself, more exaggerates.

at::Tensor AdjustColour(const at::Tensor& pixels, double factor);      // lacking: the pixel's luma
at::Tensor AdjustContrast(const at::Tensor& pixels, double factor);    // lacking: the mean luma of the image
at::Tensor AdjustBrightness(const at::Tensor& pixels, double factor);  // lacking: black
// Lacking: the 3 x 3 mean that counts the pixel itself five times; the outermost rows and columns stay.
at::Tensor AdjustSharpness(const at::Tensor& pixels, double factor);

}  // namespace qwt
