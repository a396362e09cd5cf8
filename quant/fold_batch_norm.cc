#include "quant/fold_batch_norm.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/Tensor.h"
#include "ATen/ops/rsqrt.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "models/readers.h"

namespace qwt {
namespace {

absl::StatusOr<at::Tensor> InFloat64(const TensorMap& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) {
    return absl::FailedPreconditionError(absl::StrCat("fold_batch_norm: there is no parameter '", name, "'"));
  }
  return found->second.to(at::kDouble);
}

// New tensors: the old ones may be views of a file, and the caller's.
absl::Status FoldParameters(const Node& norm, Node* conv, Graph* graph, TensorMap* parameters) {
  QWT_ASSIGN_OR_RETURN(const at::Tensor weight, InFloat64(*parameters, conv->weight));
  QWT_ASSIGN_OR_RETURN(const at::Tensor gamma, InFloat64(*parameters, norm.weight));
  QWT_ASSIGN_OR_RETURN(at::Tensor bias, InFloat64(*parameters, norm.bias));
  QWT_ASSIGN_OR_RETURN(at::Tensor mean, InFloat64(*parameters, norm.mean));
  QWT_ASSIGN_OR_RETURN(const at::Tensor variance, InFloat64(*parameters, norm.variance));
  if (!conv->bias.empty()) {
    QWT_ASSIGN_OR_RETURN(const at::Tensor own, InFloat64(*parameters, conv->bias));
    mean = mean - own;
  }
  return CatchExceptions(absl::StrCat("folding ", norm.name, " into ", conv->name), [&] {
    const at::Tensor factor = gamma * at::rsqrt(variance + norm.Attribute("epsilon"));
    bias = bias - mean * factor;
    if (conv->bias.empty()) {
      conv->bias = absl::StrCat(conv->name, ".bias");
      graph->parameters.push_back({conv->bias, {bias.size(0)}});
    }
    (*parameters)[conv->weight] = (weight * factor.view({-1, 1, 1, 1})).to(at::kFloat);
    (*parameters)[conv->bias] = bias.to(at::kFloat);
    return absl::OkStatus();
  });
}

// The convolution takes the place of the BatchNorm, nodes[index], so that the segment's last value stays its last.
void ReplaceByConvolution(size_t index, Segment* segment) {
  const int value = segment->nodes[index].inputs[0];  // of the convolution, nodes[value - 1]
  segment->nodes[index] = std::move(segment->nodes[value - 1]);
  segment->nodes.erase(segment->nodes.begin() + value - 1);
  for (Node& node : segment->nodes) {
    for (int& input : node.inputs) input -= input > value;
  }
}

}  // namespace

absl::Status FoldBatchNorms(Graph* graph, TensorMap* parameters) {
  std::set<std::string> gone;
  for (Segment* segment : graph->MutableSegments()) {
    for (size_t i = 0; i < segment->nodes.size();) {
      const Node norm = segment->nodes[i];
      Node* conv = norm.op == Op::kBatchNorm && norm.inputs[0] > 0 ? &segment->nodes[norm.inputs[0] - 1] : nullptr;
      if (conv == nullptr || conv->op != Op::kConv2d || ReadersOf(*segment)[norm.inputs[0]].size() != 1) {
        ++i;
        continue;
      }
      QWT_RETURN_IF_ERROR(FoldParameters(norm, conv, graph, parameters));
      for (const std::string& name : norm.ParameterNames()) gone.insert(name);
      ReplaceByConvolution(i, segment);  // nodes[i] is the one behind the BatchNorm now
    }
  }
  auto& specs = graph->parameters;
  specs.erase(std::remove_if(specs.begin(), specs.end(), [&](const auto& spec) { return gone.count(spec.name) > 0; }),
              specs.end());
  for (const std::string& name : gone) parameters->erase(name);
  return absl::OkStatus();
}

}  // namespace qwt
