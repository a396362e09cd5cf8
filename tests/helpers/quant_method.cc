#include "tests/helpers/quant_method.h"

#include "gtest/gtest.h"
#include "models/executor.h"
#include "quant/calibrate.h"
#include "quant/fake_quant_executor.h"
#include "tests/helpers/component.h"

namespace qwt {

std::unique_ptr<QuantMethod> MakeMethod(const std::string& name, const std::string& options) {
  return MakeComponent<QuantMethodRegistry>(name, options);
}

at::Tensor QuantizedNetwork::Logits(const at::Tensor& images) const {
  const auto executor = MakeFakeQuantExecutor(graph, parameters, plan);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const auto logits = RunGraph(graph, **executor, images);
  EXPECT_TRUE(logits.ok()) << logits.status();
  return *logits;
}

QuantizedNetwork QuantizeNetwork(const QuantMethod& method, const Graph& graph, const TensorMap& parameters,
                                 const std::vector<at::Tensor>& batches, Communicator& comm, int threads) {
  QuantizedNetwork network{graph, parameters, {}};
  EXPECT_EQ(method.Prepare(&network.graph, &network.parameters), absl::OkStatus());
  const auto specs = method.Specs(network.graph);
  EXPECT_TRUE(specs.ok()) << specs.status();
  auto plan = Calibrate(network.graph, network.parameters, *specs, batches, comm, threads, {});
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (!plan.ok()) return network;
  network.plan = *std::move(plan);
  EXPECT_EQ(method.Rewrite(&network.graph, &network.parameters, &network.plan), absl::OkStatus());
  EXPECT_EQ(SolveWeights(network.graph, network.parameters, *specs, threads, &network.plan), absl::OkStatus());
  EXPECT_EQ(network.plan.size(), specs->size());
  return network;
}

QuantizedNetwork QuantizeNetwork(const QuantMethod& method, const Graph& graph, const TensorMap& parameters,
                                 const std::vector<at::Tensor>& batches) {
  const auto comm = MakeLocalCommunicator();
  return QuantizeNetwork(method, graph, parameters, batches, *comm, /*threads=*/1);
}

}  // namespace qwt
