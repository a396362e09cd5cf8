#include "tests/helpers/golden_network.h"

#include "ATen/TensorOperators.h"
#include "absl/strings/strip.h"
#include "core/base/log.h"
#include "gtest/gtest.h"
#include "models/resnet/resnet.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"

namespace qwt {
namespace {

TensorFile Read(const std::string& name) {
  auto file = ReadSafetensors("tests/golden/networks/" + name + ".safetensors");
  if (!file.ok()) ADD_FAILURE() << file.status();
  QWT_CHECK(file.ok());
  return *std::move(file);
}

std::string StripExtension(const std::string& file) { return std::string(absl::StripSuffix(file, ".safetensors")); }

Graph BuildSmallVit(const std::string& name, bool distilled) {
  VitConfig config;
  config.image = 32;
  config.patch = 8;
  config.width = 48;
  config.depth = 3;
  config.heads = 3;
  config.classes = 10;
  config.distilled = distilled;
  return BuildVit(name, config);
}

Graph BuildSmallSwin(const std::string& name) {
  SwinConfig config;
  config.image = 56;
  config.width = 24;
  config.depths = {2, 2};
  config.heads = {2, 4};
  config.classes = 10;
  return BuildSwin(name, config);
}

Graph BuildSmallResnet(const std::string& name, bool bottleneck) {
  ResnetConfig config;
  config.image = 64;
  config.bottleneck = bottleneck;
  config.blocks = {1, 1, 1, 1};
  config.width = 16;
  config.classes = 10;
  return BuildResnet(name, config);
}

// kind: of the weights.
Graph BuildGraph(const std::string& name, const std::string& kind) {
  if (kind == "swin") return BuildSmallSwin(name);
  if (kind == "basic" || kind == "bottleneck") return BuildSmallResnet(name, kind == "bottleneck");
  return BuildSmallVit(name, kind == "distilled");
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
  const TensorFile figures = Read(name);
  const std::string weights = StripExtension(figures.metadata.at("weights"));
  GoldenNetwork network;
  network.graph = BuildGraph(name, weights.substr(sizeof("weights_") - 1));
  network.parameters = Read(weights).tensors;
  network.figures = figures.tensors;
  network.weight_bits = std::stoi(figures.metadata.at("weight_bits"));
  network.activation_bits = std::stoi(figures.metadata.at("activation_bits"));
  const TensorMap images = Read(StripExtension(figures.metadata.at("images"))).tensors;
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
