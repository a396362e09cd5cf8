// A segment as steps: one a kernel, between them codes where a quantiser follows and floats elsewhere.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/cost.h"
#include "models/graph.h"
#include "quant/integer/added_product.h"
#include "quant/plan.h"

namespace qwt {

// Reads some of the program's values and makes one. A value is a float32 tensor as the graph has it, or carriers of
// what a site quantises, uint8 [rows, CodePitch(columns)].
struct IntegerStep {
  std::string name;  // of the node whose value it makes
  std::vector<int> inputs;
  int output = 0;
  std::function<at::Tensor(const std::vector<at::Tensor>& inputs)> run;
  // Whose carriers the value holds side by side, as many columns each; none: floats.
  std::vector<std::string> sites = {};
  int codes = -1;  // the value that holds them, memory among the inputs; -1: the output
};
// Sees, and may write to, what a step made, the codes where it made floats too, before any other reads it.
using StepObserver = std::function<void(const IntegerStep& step, const at::Tensor& made)>;

// Value 0 is the segment's input.
struct IntegerProgram {
  std::vector<IntegerStep> steps;
  int values = 1, result = 0;
  int products = 0;  // layers and attentions that run as integers

  absl::StatusOr<at::Tensor> Run(const at::Tensor& batch, const StepObserver& observe = nullptr) const;
};

// shapes: of the segment's values for one image. Runs where the parameters lie. What cannot run as integers (a site of
// several scales, a convolution in groups, an attention of too many tokens) runs in the fake quantiser's numerics.
// added: may be null; on GPUs alone.
absl::StatusOr<IntegerProgram> LowerSegment(const Segment& segment, const SegmentShapes& shapes,
                                            const TensorMap& parameters, const QuantPlan& plan,
                                            const AddedProduct* added);

}  // namespace qwt
