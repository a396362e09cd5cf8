#include "tests/helpers/golden_model.h"

#include <memory>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "core/comm/communicator.h"
#include "gtest/gtest.h"
#include "quant/fake_quant_executor.h"
#include "tests/helpers/component.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

constexpr int64_t kBatch = 16;

// Every batch of the values moved past a segment.
void RunAll(const Executor& executor, const Segment& segment, std::vector<at::Tensor>* values) {
  for (at::Tensor& value : *values) value = *executor.Run(segment, value);
}

}  // namespace

QuantizedModel QuantizeGolden(const GoldenNetwork& network, const std::string& method, const std::string& options) {
  QuantizedNetwork quantized = QuantizeNetwork(*MakeMethod(method, options), network.graph, network.parameters,
                                               {network.calibration.narrow(0, 0, kBatch)});
  QuantizedModel model;
  model.graph = std::move(quantized.graph);
  model.parameters = std::move(quantized.parameters);
  model.plan = std::move(quantized.plan);
  return model;
}

void FitGolden(const GoldenNetwork& network, const std::string& compensator, const std::string& options,
               QuantizedModel* model) {
  model->compensator = compensator;
  const std::unique_ptr<Compensator> made = MakeComponent<CompensatorRegistry>(compensator, options);
  const auto quantized = *MakeFakeQuantExecutor(model->graph, model->parameters, model->plan);
  const auto exact = MakeFloatExecutor(model->parameters);
  std::vector<at::Tensor> values;
  for (int64_t first = 0; first < network.calibration.size(0); first += kBatch) {
    values.push_back(network.calibration.narrow(0, first, kBatch));
  }
  RunAll(*quantized, model->graph.stem, &values);
  for (int i = 0; i < model->graph.blocks.size(); ++i) {
    const Segment& block = model->graph.blocks[i];
    if (const Segment* transition = model->graph.TransitionBefore(i)) RunAll(*quantized, *transition, &values);
    std::unique_ptr<BlockFit> fit = *made->Begin(model->graph, i);
    std::vector<at::Tensor> outputs = values;
    RunAll(*quantized, block, &outputs);
    for (size_t batch = 0; batch < values.size(); ++batch) {
      EXPECT_EQ(fit->Accumulate(batch * kBatch, values[batch], *exact->Run(block, values[batch]), outputs[batch]),
                absl::OkStatus());
    }
    model->compensation.push_back(*fit->Solve());
    for (size_t batch = 0; batch < values.size(); ++batch) {
      values[batch] = made->Apply(model->compensation.back(), values[batch], outputs[batch]);
    }
  }
}

at::Tensor Logits(const QuantizedModel& model, bool compensated, const at::Tensor& images) {
  const auto executor = MakeQuantizedExecutor(model, compensated);
  EXPECT_EQ(executor.status(), absl::OkStatus());
  const auto logits = RunGraph(model.graph, **executor, images);
  EXPECT_EQ(logits.status(), absl::OkStatus());
  return *logits;
}

double MeanSquaredError(const at::Tensor& a, const at::Tensor& b) { return (a - b).square().mean().item<double>(); }

std::vector<double> RecordedSizes(const std::string& name) {
  const auto file = ReadSafetensors("tests/golden/networks/" + name + ".safetensors");
  const auto recorded = ParseConfig("sizes: " + file->metadata.at("sizes_mb"), name);
  EXPECT_EQ(recorded.status(), absl::OkStatus());
  std::vector<double> sizes;
  for (const ConfigNode& size : recorded->Find("sizes")->list()) sizes.push_back(std::stod(size.scalar()));
  return sizes;
}

}  // namespace qwt
