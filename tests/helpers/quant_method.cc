#include "tests/helpers/quant_method.h"

#include "core/base/log.h"
#include "core/config/node.h"
#include "core/config/schema.h"
#include "gtest/gtest.h"
#include "models/executor.h"
#include "quant/calibrate.h"
#include "quant/fake_quant_executor.h"

namespace qwt {

std::unique_ptr<QuantMethod> MakeMethod(const std::string& name, const std::string& options) {
  const auto component = QuantMethodRegistry::Get().Find(name);
  EXPECT_TRUE(component.ok()) << component.status();
  const auto node = ParseConfig(options, "test.yaml");
  EXPECT_TRUE(node.ok()) << node.status();
  Problems problems;
  const Options checked = CheckOptions(*node, (*component)->schema, &problems);
  EXPECT_EQ(problems.ToStatus(), absl::OkStatus());
  QWT_CHECK(problems.empty());
  auto method = MakeQuantMethod(name, checked);
  EXPECT_TRUE(method.ok()) << method.status();
  return *std::move(method);
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
