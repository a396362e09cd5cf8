// A plan's quantisers, ready to run on a network.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/plan.h"
#include "quant/quantizer.h"

namespace qwt {

// Const and thread safe.
class SiteQuantizer {
 public:
  // For tensors on `device`.
  static absl::StatusOr<SiteQuantizer> Make(const std::string& site, const SiteQuantization& quantization,
                                            at::Device device = at::kCPU);
  // x̂. Throws, naming the site, where x has another number of channels than the site has scales.
  at::Tensor Apply(const at::Tensor& x) const;

 private:
  std::string site_;
  SiteQuantization quantization_;
  std::shared_ptr<const Quantizer> quantizer_;
};

// `parameters` with every weight that has a site in the plan quantised and dequantised; the others are shared.
absl::StatusOr<TensorMap> QuantizeWeights(const Graph& graph, const TensorMap& parameters, const QuantPlan& plan,
                                          int threads);

// FailedPrecondition where `parameters` has no weight for the node.
absl::StatusOr<at::Tensor> FindWeight(const Node& node, const TensorMap& parameters);

}  // namespace qwt
