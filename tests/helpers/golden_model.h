// The whole method on a golden network, as the stages run it: quantised, then compensated block by block.
#pragma once

#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "qwt/quantized_model.h"
#include "tests/helpers/golden_network.h"

namespace qwt {

// Calibrated on the first 16 images and rewritten by the method of this name with these options.
QuantizedModel QuantizeGolden(const GoldenNetwork& network, const std::string& method, const std::string& options);

// Fits every block to all 64 images, in batches of 16, on the output of the compensated blocks before it (algorithms
// section 5).
void FitGolden(const GoldenNetwork& network, const std::string& compensator, const std::string& options,
               QuantizedModel* model);

at::Tensor Logits(const QuantizedModel& model, bool compensated, const at::Tensor& images);
double MeanSquaredError(const at::Tensor& a, const at::Tensor& b);

// The reference's sizes of the network in MB: [float,] quantised, compensated.
std::vector<double> RecordedSizes(const std::string& name);

}  // namespace qwt
