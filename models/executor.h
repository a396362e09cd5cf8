// Runs one segment of a graph on a batch.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"

namespace qwt {

// Const and thread safe: many threads run one executor on different batches.
class Executor {
 public:
  virtual ~Executor() = default;
  // batch: float32, the segment's input; the result is its output. Internal, naming the node, if an operator fails;
  // ResourceExhausted if it finds no memory.
  virtual absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const = 0;
  // All segments one after the other, of the graph that it was made for.
  virtual absl::StatusOr<at::Tensor> RunAll(const Graph& graph, const at::Tensor& images) const;
};

// One node in float32. Throws what LibTorch throws.
at::Tensor EvaluateNode(const Node& node, const std::vector<at::Tensor>& inputs, const TensorMap& parameters);

// Evaluates a segment's nodes in order, `evaluate` making each node's value from its inputs; a value is dropped after
// its last use.
absl::StatusOr<at::Tensor> RunNodes(
    const Segment& segment, const at::Tensor& batch,
    const std::function<at::Tensor(const Node& node, const std::vector<at::Tensor>& inputs)>& evaluate);

// Index of the last node that reads each value (0: the segment's input); -1: none.
std::vector<int> LastUses(const Segment& segment);

// Runs where the parameters lie.
std::unique_ptr<Executor> MakeFloatExecutor(TensorMap parameters);
// `executor`, but a batch that a GPU has no memory for (ResourceExhausted) is run in halves, and so is every later one
// of its size: the output is the same but for roundings. Says so in the log, once for each size.
std::unique_ptr<Executor> MakeHalvingExecutor(std::unique_ptr<Executor> executor);

// Stem, every block, head: logits [N, classes].
absl::StatusOr<at::Tensor> RunGraph(const Graph& graph, const Executor& executor, const at::Tensor& images);

}  // namespace qwt
