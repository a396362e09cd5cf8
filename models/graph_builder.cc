#include "models/graph_builder.h"

namespace qwt {

int SegmentBuilder::Conv2d(const std::string& name, int x, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                           int64_t padding, int64_t groups, bool bias) {
  Node node{name, Op::kConv2d, {x}, Spec(name + ".weight", {out, in / groups, kernel, kernel}), "", {}};
  if (bias) node.bias = Spec(name + ".bias", {out});
  node.attributes["stride"] = static_cast<double>(stride);
  node.attributes["padding"] = static_cast<double>(padding);
  node.attributes["groups"] = static_cast<double>(groups);
  return Add(std::move(node));
}

int SegmentBuilder::Linear(const std::string& name, int x, int64_t in, int64_t out, bool bias) {
  Node node{name, Op::kLinear, {x}, Spec(name + ".weight", {out, in}), "", {}};
  if (bias) node.bias = Spec(name + ".bias", {out});
  return Add(std::move(node));
}

int SegmentBuilder::LayerNorm(const std::string& name, int x, int64_t channels, double epsilon) {
  Node node{name, Op::kLayerNorm, {x}, Spec(name + ".weight", {channels}), "", {{"epsilon", epsilon}}};
  node.bias = Spec(name + ".bias", {channels});
  return Add(std::move(node));
}

int SegmentBuilder::BatchNorm(const std::string& name, int x, int64_t channels, double epsilon) {
  Node node{name, Op::kBatchNorm, {x}, Spec(name + ".weight", {channels}), "", {{"epsilon", epsilon}}};
  node.bias = Spec(name + ".bias", {channels});
  node.mean = Spec(name + ".running_mean", {channels});
  node.variance = Spec(name + ".running_var", {channels});
  return Add(std::move(node));
}

int SegmentBuilder::Parameter(const std::string& name, Op op, int x, std::vector<int64_t> shape,
                              std::map<std::string, double> attributes) {
  return Add({name, op, {x}, Spec(name, std::move(shape)), "", std::move(attributes)});
}

int SegmentBuilder::Apply(const std::string& name, Op op, std::vector<int> inputs,
                          std::map<std::string, double> attributes) {
  return Add({name, op, std::move(inputs), "", "", std::move(attributes)});
}

int SegmentBuilder::Add(Node node) {
  segment_.nodes.push_back(std::move(node));
  return static_cast<int>(segment_.nodes.size());
}

std::string SegmentBuilder::Spec(std::string name, std::vector<int64_t> shape) {
  graph_->parameters.push_back({name, std::move(shape)});
  return name;
}

}  // namespace qwt
