// A quant method from YAML and a network on its whole way through it, as the stages calibrate and quantize take it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "core/comm/communicator.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/method.h"
#include "quant/plan.h"

namespace qwt {

// options: as they stand under `quantize` in a config: "{weight_bits: 3}". Ends the test program where they are wrong.
std::unique_ptr<QuantMethod> MakeMethod(const std::string& name, const std::string& options);

struct QuantizedNetwork {
  Graph graph;
  TensorMap parameters;
  QuantPlan plan;

  at::Tensor Logits(const at::Tensor& images) const;  // of the fake-quantised network
};

// batches: this rank's micro-batches of calibration images. The test fails where a step does, or where a site has no
// scale in the end.
QuantizedNetwork QuantizeNetwork(const QuantMethod& method, const Graph& graph, const TensorMap& parameters,
                                 const std::vector<at::Tensor>& batches, Communicator& comm, int threads);
QuantizedNetwork QuantizeNetwork(const QuantMethod& method, const Graph& graph, const TensorMap& parameters,
                                 const std::vector<at::Tensor>& batches);  // one rank, one thread

}  // namespace qwt
