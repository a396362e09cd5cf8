// Puts the nodes of one segment together and lists their parameters in the graph. Every function returns the value it
// makes.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "models/graph.h"

namespace qwt {

class SegmentBuilder {
 public:
  static constexpr int kInput = 0;  // the segment's input

  // `graph` gets the parameters and must outlive the builder.
  SegmentBuilder(std::string name, Graph* graph) : graph_(graph) { segment_.name = std::move(name); }

  // A module with NAME.weight and, where it has one, NAME.bias.
  int Conv2d(const std::string& name, int x, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
             int64_t groups, bool bias);
  int Linear(const std::string& name, int x, int64_t in, int64_t out, bool bias);
  int LayerNorm(const std::string& name, int x, int64_t channels, double epsilon);
  // With NAME.running_mean and NAME.running_var.
  int BatchNorm(const std::string& name, int x, int64_t channels, double epsilon);
  // A bare parameter, called as the node: kPrependToken, kAddParameter, kAddRelativePositionBias.
  int Parameter(const std::string& name, Op op, int x, std::vector<int64_t> shape,
                std::map<std::string, double> attributes = {});
  // A node without parameters.
  int Apply(const std::string& name, Op op, std::vector<int> inputs, std::map<std::string, double> attributes = {});

  Segment Build() { return std::move(segment_); }

 private:
  int Add(Node node);
  std::string Spec(std::string name, std::vector<int64_t> shape);  // lists the parameter and returns its name

  Graph* graph_;
  Segment segment_;
};

}  // namespace qwt
