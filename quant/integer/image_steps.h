// The steps of networks of images, as functions of tensors. Floats lie channels last in memory; codes are uint8
// [N·h·w, PixelPitch(C)], pixel by pixel.
#pragma once

#include <optional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "quant/integer/kernels/kernels.h"
#include "quant/integer/product_weights.h"
#include "quant/integer/steps.h"

namespace qwt {

// What a node (a convolution or a pooling) of this kernel sees, but for the number of images. input, output: [N, C, h,
// w] of its values.
PixelWindows WindowsOf(const Node& node, int64_t kernel, const std::vector<int64_t>& input,
                       const std::vector<int64_t>& output);

// Floats -> codes.
StepFunction PixelQuantizeStep(const Carrier& carrier);
// Floats -> floats.
StepFunction MaxPoolStep(const PixelWindows& windows);

// A convolution and what follows it (ConvolutionArguments).
struct ConvolutionSettings {
  ProductWeights weights;  // ByPixel
  PixelWindows windows;
  int64_t channels = 0;  // of the input
  Carrier input;
  bool residual = false, addend = false;  // whether they are among the inputs
  Activation activation = Activation::kNone;
  at::Tensor addend_bias;        // float32 [C']; undefined: zeros
  std::optional<Carrier> codes;  // of the output; none: floats
};
// Codes[, residual][, float16 addend] -> codes or floats.
StepFunction ConvolutionStep(const ConvolutionSettings& settings);

}  // namespace qwt
