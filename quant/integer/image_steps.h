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
  at::Tensor addend_bias;      // float32 [C']; undefined: zeros
  at::Tensor residual_weight;  // float16 [C', kResidualGroup]; undefined: the addend, if any, is an input
  bool floats = true;
  std::optional<Carrier> codes;  // of the output; none: no codes
};
// Codes[, residual][, float16 addend][, memory for codes, where floats are made too] -> floats, or codes alone.
StepFunction ConvolutionStep(const ConvolutionSettings& settings);
// The convolution's input -> memory for its output's codes.
StepFunction CodeMemoryStep(const PixelWindows& windows, int64_t channels);

// x -> what an AddedProduct of images adds, float16.
StepFunction GroupConvolutionStep(const at::Tensor& weight, int64_t stride);

}  // namespace qwt
