// A quantised network as one value and one file: graph, parameters, plan, compensation, provenance.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/executor.h"
#include "quant/plan.h"
#include "qwt/compensator.h"

namespace qwt {

struct QuantizedModel {
  Graph graph;
  TensorMap parameters;  // float32, rewritten by the method
  QuantPlan plan;
  std::string compensator;                        // registered name; "" for none
  std::vector<BlockSolution> compensation;        // by block; empty for none
  std::map<std::string, std::string> provenance;  // config, hashes, version
};

// Weights that the plan quantises: parameter -> site.
std::map<std::string, std::string> QuantizedWeights(const QuantizedModel& model);

// Weights are stored as their integer codes, packed at their own width; loading gives the same predictions to the last
// bit. docs/saved_models.md has the format.
absl::Status SaveQuantizedModel(const std::string& path, const QuantizedModel& model);
// DataLoss for a damaged file, InvalidArgument for one of another version or of something else, each saying which.
absl::StatusOr<QuantizedModel> LoadQuantizedModel(const std::string& path);

// kFake: quantised and dequantised values multiplied in float32, as the official code does; kInteger: their integers.
enum class Numerics { kFake, kInteger };

// Runs blocks quantised, each followed by its compensation if it has one, on `device`.
absl::StatusOr<std::unique_ptr<Executor>> MakeQuantizedExecutor(const QuantizedModel& model, bool compensated,
                                                                at::Device device = at::kCPU,
                                                                Numerics numerics = Numerics::kFake);

// MB as the reference counts: Σ numel·bits/8/1e6 with the plan's bits for quantised weights, 16 for compensation
// weights, 32 for all else but a BatchNorm's running statistics, which do not count.
double FloatSizeMb(const Graph& graph);
double QuantizedSizeMb(const QuantizedModel& model, bool compensated);

}  // namespace qwt
