#include "tests/helpers/formula_weights.h"

#include <cmath>
#include <vector>

#include "ATen/ops/empty.h"

namespace qwt {
namespace {

at::Tensor Parameter(const nlohmann::json& kinds, const std::string& name, const std::vector<int64_t>& shape,
                     const std::string& kind) {
  int64_t fan_in = 1;
  for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
  if (kind == "W") return Formula(name, shape, 0, std::sqrt(3.0 / static_cast<double>(fan_in)));
  return Formula(name, shape, kinds.at(kind).at("c"), kinds.at(kind).at("a"));
}

}  // namespace

at::Tensor Formula(const std::string& name, at::IntArrayRef shape, double centre, double amplitude) {
  uint64_t hash = 0xCBF29CE484222325;
  for (unsigned char byte : name) hash = (hash ^ byte) * 0x100000001B3;
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    uint64_t z = hash + static_cast<uint64_t>(i) * 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    values[i] = static_cast<float>(centre + amplitude * (2 * (static_cast<double>(z >> 11) * 0x1p-53) - 1));
  }
  return tensor;
}

TensorMap FormulaParameters(const nlohmann::json& fullsize, const std::string& network) {
  TensorMap parameters;
  for (const nlohmann::json& tensor : fullsize.at("models").at(network).at("tensors")) {
    parameters[tensor[0]] = Parameter(fullsize.at("formula").at("kinds"), tensor[0], tensor[1], tensor[2]);
  }
  return parameters;
}

}  // namespace qwt
