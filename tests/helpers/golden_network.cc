#include "tests/helpers/golden_network.h"

#include "ATen/TensorOperators.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "core/base/log.h"
#include "gtest/gtest.h"
#include "models/vit/vit.h"

namespace qwt {
namespace {

TensorFile Read(const std::string& name) {
  auto file = ReadSafetensors("tests/golden/networks/" + name + ".safetensors");
  if (!file.ok()) ADD_FAILURE() << file.status();
  QWT_CHECK(file.ok());
  return *std::move(file);
}

at::Tensor Normalise(const at::Tensor& images) { return ((images.to(at::kFloat) / 255.0 - 0.45) / 0.22).contiguous(); }

}  // namespace

const at::Tensor& GoldenNetwork::Figure(const std::string& name) const {
  const auto found = figures.find(name);
  if (found == figures.end()) ADD_FAILURE() << "there is no figure " << name;
  QWT_CHECK(found != figures.end());
  return found->second;
}

GoldenNetwork LoadGoldenNetwork(const std::string& name) {
  VitConfig config;
  config.image = 32;
  config.patch = 8;
  config.width = 48;
  config.depth = 3;
  config.heads = 3;
  config.classes = 10;
  config.distilled = absl::StrContains(name, "distilled");
  GoldenNetwork network;
  network.graph = BuildVit(name, config);
  network.parameters = Read(config.distilled ? "weights_distilled" : "weights_vit").tensors;
  const TensorFile figures = Read(name);
  network.figures = figures.tensors;
  network.weight_bits = std::stoi(figures.metadata.at("weight_bits"));
  network.activation_bits = std::stoi(figures.metadata.at("activation_bits"));
  const TensorMap images = Read("images_32").tensors;
  network.calibration = Normalise(images.at("calib_and_fit"));
  network.evaluation = Normalise(images.at("eval"));
  return network;
}

double RelativeError(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

std::string ReferenceSite(const std::string& site) {
  absl::string_view node = site;
  if (absl::ConsumeSuffix(&node, ".left")) return std::string(node) + ".quantizer_A";
  if (absl::ConsumeSuffix(&node, ".right")) return std::string(node) + ".quantizer_B";
  return site + "_quantizer";
}

}  // namespace qwt
