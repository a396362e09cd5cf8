// A layer's weights as an integer product reads them.
#pragma once

#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/integer/kernels/kernels.h"
#include "quant/plan.h"

namespace qwt {

// Bytes of a row of codes or weights.
inline int64_t CodePitch(int64_t columns) { return (columns + 15) / 16 * 16; }
// Of a row of codes with a bit for each that says whether it is an end (Carrier), behind the codes.
inline int64_t CodePitchWithEnds(int64_t columns) { return CodePitch(columns) + EndWords(columns) * 4; }

// Weights less a whole number for each row that brings them into int8: the zero point where that does, as it does for
// up to 7 bits. What is left of it multiplies the sum of a row of codes, and the zero point of the input is a constant
// for each output, part of the bias: exact, whatever either zero point is. Ends of the input are summed beside it,
// end_code / end_multiplier as near to Carrier::end as an int32 allows.
struct ProductWeights {
  int64_t columns = 0, depth = 0, pitch = 0;
  at::Tensor weight;                         // int8 [columns rounded up to kWeightRows, pitch]
  at::Tensor scale, bias;                    // float32 [columns]
  at::Tensor row_sum_scale;                  // float32 [columns]; undefined: zeros
  int32_t end_multiplier = 1, end_code = 0;  // 0: the input has no ends
  at::Tensor end_count_scale;                // float32 [columns]; undefined: zeros
  at::Tensor by_input;                       // int8 [depth, columns]; undefined: no ends, or on a GPU

  void Set(ProductArguments* arguments) const;
};

// The same of factor · v + shift, float32 [columns], v the product.
ProductWeights Affine(const ProductWeights& weights, const at::Tensor& factor, const at::Tensor& shift);

// A convolution's, whose weight is [columns, channels, kernel, kernel], in the order of ConvolutionArguments.
ProductWeights ByPixel(const ProductWeights& weights, int64_t channels, int64_t kernel);

// The same in steps of the carriers that quantise the output, in as many groups of columns as there are: for products
// whose codes follow without an activation between.
ProductWeights InSteps(const ProductWeights& weights, const std::vector<Carrier>& carriers);

// node: a linear or a convolution whose weight has a uniform site in the plan; input: how its input is carried. On the
// parameters' device.
absl::StatusOr<ProductWeights> MakeProductWeights(const Node& node, const TensorMap& parameters, const QuantPlan& plan,
                                                  const Carrier& input);

}  // namespace qwt
