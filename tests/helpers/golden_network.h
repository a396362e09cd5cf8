// One of the small networks of tests/golden/networks with what the official QwT code computed on it.
#pragma once

#include <string>

#include "ATen/core/Tensor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"

namespace qwt {

struct GoldenNetwork {
  Graph graph;
  TensorMap parameters;    // as published, before any rewrite
  TensorMap figures;       // float/…, ptq/…, site/…, fit/…, qwt/…
  at::Tensor calibration;  // float32 [64, 3, height, width], normalised; calibration uses the first 16
  at::Tensor evaluation;   // float32 [16, 3, height, width]
  int weight_bits, activation_bits;

  const at::Tensor& Figure(const std::string& name) const;  // must be there
  bool Has(const std::string& figure) const { return figures.count(figure) > 0; }
};

// name: of a file with figures: "vit_w4a4", "swin_w6a6", "resnet_bottleneck_w4a4". Ends the test program where a file
// cannot be read.
GoldenNetwork LoadGoldenNetwork(const std::string& name);

// max |a - b| / max |b|.
double RelativeError(const at::Tensor& a, const at::Tensor& b);

// The reference's name of a site: "blocks.0.attn.qkv.input" is "blocks.0.attn.qkv.input_quantizer", a left operand
// "….quantizer_A".
std::string ReferenceSite(const std::string& site);

}  // namespace qwt
