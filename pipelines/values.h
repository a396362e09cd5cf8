// What stages hand on: each value made by one stage, read by later ones.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/plan.h"
#include "qwt/diagnosis.h"
#include "qwt/quantized_model.h"

namespace qwt {

// One model's accuracy on the evaluation images.
struct Evaluation {
  std::string model;       // "float", "quantized", "compensated"
  at::Tensor images;       // int64 [images]: their indices in the evaluation split
  at::Tensor labels;       // int64 [images]; -1: the image was skipped
  at::Tensor predictions;  // int64 [images]: the class with the highest logit; -1: the image was skipped
  at::Tensor top1, top5;   // uint8 [images]: whether the label is that class, is among the five highest
  // float64 [images]: mean over the classes of (logit - the float model's logit)². Undefined for the float model, and
  // where that is not evaluated beside this one.
  at::Tensor squared_error;
  double images_per_second = 0;  // of the run that computed it
};

// The names of values as stages declare them.
inline constexpr char kParameters[] = "parameters";      // graph and float parameters
inline constexpr char kCalibration[] = "calibration";    // the plan of the first pass
inline constexpr char kQuantized[] = "quantized";        // the quantised model
inline constexpr char kCompensation[] = "compensation";  // in the quantised model
inline constexpr char kEvaluation[] = "evaluation";
inline constexpr char kDiagnosis[] = "diagnosis";

struct Values {
  Graph graph;
  TensorMap parameters;
  QuantPlan calibration;
  std::optional<QuantizedModel> quantized;
  std::vector<Evaluation> evaluations;
  std::optional<Diagnosis> diagnosis;
};

}  // namespace qwt
