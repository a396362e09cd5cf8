// The steps that kernels compute (kernels/kernels.h), as functions of tensors.
#pragma once

#include <functional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "quant/integer/attention_match.h"
#include "quant/integer/kernels/kernels.h"
#include "quant/integer/product_weights.h"

namespace qwt {

using StepFunction = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// Where row m of windows' tokens (kSplitWindows) lies among an image's: int32 [height * width] on the device.
at::Tensor WindowRows(const Node& windows, at::Device device);

// [..., C] -> codes.
StepFunction QuantizeStep(const Carrier& carrier);
// x[, memory for x as float16] -> codes of LayerNorm; rows: as WindowRows, or undefined.
StepFunction NormQuantizeStep(const Node& norm, const at::Tensor& weight, const at::Tensor& bias,
                              const Carrier& carrier, const at::Tensor& rows);
// x -> memory for x as float16.
StepFunction HalfMemoryStep();
// [N, C, h, w] -> codes of patches. shape: of the convolution's output.
StepFunction PatchQuantizeStep(const Node& convolution, const std::vector<int64_t>& weight_sizes,
                               const std::vector<int64_t>& shape, const Carrier& carrier);

// Codes -> codes of activation(product), in as many groups of columns as there are carriers.
StepFunction ProductToCodesStep(const ProductWeights& weights, Activation activation,
                                const std::vector<Carrier>& carriers);
// Codes[, residual[, float16 addend]] -> floats of this shape, the first dimension apart. rows: as above.
StepFunction ProductStep(const ProductWeights& weights, const std::vector<int64_t>& shape, const at::Tensor& rows);
// Codes of patches -> [N, T, C], those of `tokens` (float32 [T, C]: positions' embedding, and in front what no patch is
// added to) with the product added to the last.
StepFunction TokensStep(const ProductWeights& weights, int64_t patches, const at::Tensor& tokens);

// What of an attention its nodes do not say.
struct AttentionSettings {
  AttentionArguments arguments;  // but for pointers and the number of windows
  at::Tensor bias, mask;         // float32; undefined: none
};
// Codes of query, key and value -> codes.
StepFunction AttentionStep(const AttentionSettings& settings);

}  // namespace qwt
