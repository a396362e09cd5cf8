// What a quant method decides: at which site which quantiser, and (after calibration) with which scale.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"

namespace qwt {

// A site is a node's operand: "blocks.0.attn.qkv.input", "….weight", "blocks.0.attn.matmul1.left", "….right".
std::string SiteName(const Node& node, const std::string& operand);

enum class Granularity { kPerTensor, kPerChannel };

// What is wanted at a site.
struct QuantSpec {
  std::string quantizer = "uniform";  // a registered quantiser
  int bits = 8;
  Granularity granularity = Granularity::kPerTensor;
  int channel_dim = -1;  // per channel: 0 for weights [Co, ...], -1 for activations [..., C]
  // Candidate ranges of the scale search, in order: for each percentile p, for each fraction f, from
  // f·quantile(x, 1 - p) to f·quantile(x, p). {1.0}: the whole range alone, min-max.
  std::vector<double> percentiles;        // 0.5 to 1
  std::vector<double> fractions = {1.0};  // above 0, at most 1
  double log_floor = 1e-6;                // log_sqrt2 only (algorithms section 3); 0: none
};

// A solved site. x̂ = (clamp(round(x/scale) + zero_point, 0, 2^bits - 1) - zero_point) * scale for "uniform".
struct SiteQuantization {
  QuantSpec spec;
  at::Tensor scale;       // float32 [1] or [channels]
  at::Tensor zero_point;  // float32, same shape; may be fractional after re-parameterisation; unused by log_sqrt2
};

using QuantSpecs = std::map<std::string, QuantSpec>;        // by site
using QuantPlan = std::map<std::string, SiteQuantization>;  // by site

// As tensors "SITE.scale", "SITE.zero_point" and one JSON text of the specs, there and back.
void PlanToTensors(const QuantPlan& plan, TensorMap* tensors, std::string* specs_json);
absl::StatusOr<QuantPlan> PlanFromTensors(const TensorMap& tensors, const std::string& specs_json);

}  // namespace qwt
