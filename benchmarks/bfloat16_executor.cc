#include "benchmarks/bfloat16_executor.h"

#include <map>
#include <utility>

#include "ATen/ops/scaled_dot_product_attention.h"
#include "ATen/ops/zeros.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "models/cost.h"

namespace qwt {
namespace {

// softmax(factor · q·kᵀ + bias)·v. Values of the segment; a node makes the one after its index.
struct Attention {
  int query = 0, key = 0;  // [N·W, H, T, D]
  double factor = 1;
  at::Tensor bias;          // bfloat16 [1, W·H, T, T]; undefined: none
  int64_t windows = 1;      // W
  std::vector<int> inside;  // nodes that need no value of their own
};
using Attentions = std::map<int, Attention>;  // by the node that multiplies by v

// In the networks here one node alone reads each value between q·kᵀ and the product with v.
Attentions FindAttentions(const Segment& segment, const SegmentShapes& shapes, const TensorMap& parameters) {
  const auto at = [&](int index) -> const Node& { return segment.nodes[index]; };
  Attentions found;
  for (int product = 0; product < segment.nodes.size(); ++product) {
    if (at(product).op != Op::kMatmul) continue;
    const int softmax = at(product).inputs[0] - 1;
    if (softmax < 0 || at(softmax).op != Op::kSoftmax) continue;
    Attention attention;
    attention.windows = shapes[softmax + 1][0];
    std::vector<int> added;  // the last first
    int index = at(softmax).inputs[0] - 1;
    for (; at(index).op != Op::kMatmul; index = at(index).inputs[0] - 1) {
      attention.inside.push_back(index);
      if (at(index).op == Op::kScale) {
        attention.factor = at(index).Attribute("factor");
      } else {
        added.push_back(index);
      }
    }
    const int transpose = at(index).inputs[1] - 1;
    attention.query = at(index).inputs[0];
    attention.key = at(transpose).inputs[0];
    attention.inside.insert(attention.inside.end(), {softmax, index, transpose});
    if (!added.empty()) {
      at::Tensor bias = at::zeros(shapes[softmax + 1], at::TensorOptions(DeviceOf(parameters)));
      for (auto node = added.rbegin(); node != added.rend(); ++node) bias = EvaluateNode(at(*node), {bias}, parameters);
      attention.bias = bias.flatten(0, 1).unsqueeze(0).to(at::kBFloat16);
    }
    found.emplace(product, std::move(attention));
  }
  return found;
}

class Bfloat16Executor : public Executor {
 public:
  Bfloat16Executor(const TensorMap& parameters, std::map<std::string, Attentions> attentions)
      : attentions_(std::move(attentions)) {
    for (const auto& [name, tensor] : parameters) parameters_.emplace(name, tensor.to(at::kBFloat16));
  }

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    const Attentions& attentions = attentions_.at(segment.name);
    std::map<int, at::Tensor> operands;  // queries and keys, by value
    std::vector<bool> inside(segment.nodes.size());
    for (const auto& [product, attention] : attentions) {
      operands[attention.query] = operands[attention.key] = at::Tensor();
      for (int node : attention.inside) inside[node] = true;
    }
    return RunNodes(segment, batch, [&](const Node& node, const std::vector<at::Tensor>& inputs) {
      const auto index = static_cast<int>(&node - segment.nodes.data());
      if (inside[index]) return at::Tensor();
      const auto attention = attentions.find(index);
      if (attention != attentions.end()) {
        const at::Tensor& query = operands.at(attention->second.query);
        return Attend(attention->second, query, operands.at(attention->second.key), inputs[1]);
      }
      at::Tensor value = EvaluateNode(node, inputs, parameters_).to(at::kBFloat16);
      const auto operand = operands.find(index + 1);
      if (operand != operands.end()) operand->second = value;
      return value;
    });
  }

 private:
  static at::Tensor Attend(const Attention& attention, const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value) {
    // An image's windows side by side as heads, so that all images share one bias.
    const auto of_images = [&](const at::Tensor& x) {
      return x.view({x.size(0) / attention.windows, attention.windows * x.size(1), x.size(2), x.size(3)});
    };
    std::optional<at::Tensor> bias;
    if (attention.bias.defined()) bias = attention.bias;
    return at::scaled_dot_product_attention(of_images(query), of_images(key), of_images(value), bias, /*dropout_p=*/0,
                                            /*is_causal=*/false, attention.factor)
        .reshape(value.sizes());
  }

  TensorMap parameters_;
  const std::map<std::string, Attentions> attentions_;  // by segment
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeBfloat16Executor(const Graph& graph, const TensorMap& parameters) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentShapes> shapes, InferShapes(graph, /*batch=*/1));
  std::map<std::string, Attentions> attentions;
  const std::vector<const Segment*> segments = graph.Segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    attentions[segments[i]->name] = FindAttentions(*segments[i], shapes[i], parameters);
  }
  return std::make_unique<Bfloat16Executor>(parameters, std::move(attentions));
}

}  // namespace qwt
