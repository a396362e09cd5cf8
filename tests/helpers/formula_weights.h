// Weights of published networks from a formula, which needs no file of them: tests/golden/fullsize.json states it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ATen/core/Tensor.h"
#include "core/tensor/safetensors.h"

namespace qwt {

// "formula": centre + amplitude * (2 * u - 1), u from splitmix64 of the name's FNV-1a hash and the element's index.
at::Tensor Formula(const std::string& name, at::IntArrayRef shape, double centre, double amplitude);

// Every parameter of one of its networks. fullsize: the whole file.
TensorMap FormulaParameters(const nlohmann::json& fullsize, const std::string& network);

}  // namespace qwt
