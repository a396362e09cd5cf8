#include "quant/integer/steps.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "models/windows.h"
#include "quant/integer/kernels/vectors.h"
#include "quant/integer/step_launch.h"

namespace qwt {
namespace {

RowMap MapOf(const at::Tensor& rows) {
  if (!rows.defined()) return {};
  return {rows.const_data_ptr<int32_t>(), rows.numel(), rows.numel()};
}

ProductArguments ArgumentsOf(const at::Tensor& codes, const ProductWeights& weights) {
  ProductArguments arguments;
  weights.Set(&arguments);
  arguments.rows = codes.size(0);
  arguments.a_pitch = codes.size(1);
  arguments.a = codes.const_data_ptr<uint8_t>();
  return arguments;
}

}  // namespace

at::Tensor WindowRows(const Node& windows, at::Device device) {
  const auto get = [&](const char* key) { return static_cast<int64_t>(windows.Attribute(key)); };
  const WindowGrid grid = {get("height"), get("width"), get("window"), get("shift")};
  const at::Tensor tokens = at::arange(grid.height * grid.width, at::kFloat).view({1, -1, 1});
  return SplitWindows(tokens, grid).reshape({-1}).to(at::kInt).to(device);
}

StepFunction QuantizeStep(const Carrier& carrier) {
  return [carrier](const std::vector<at::Tensor>& inputs) {
    const at::Tensor x = inputs[0].contiguous();
    QuantizeArguments arguments;
    arguments.columns = x.size(-1);
    arguments.rows = x.numel() / x.size(-1);
    arguments.x = x.const_data_ptr<float>();
    arguments.carrier = carrier;
    at::Tensor codes = Codes(x, arguments.rows, arguments.columns);
    arguments.pitch = codes.size(1);
    arguments.out = codes.mutable_data_ptr<uint8_t>();
    Launch(x, arguments, QuantizeOnVectors, QuantizeOnGpu);
    return codes;
  };
}

StepFunction NormQuantizeStep(const Node& norm, const at::Tensor& weight, const at::Tensor& bias,
                              const Carrier& carrier, const at::Tensor& rows) {
  const auto epsilon = static_cast<float>(norm.Attribute("epsilon"));
  return [=](const std::vector<at::Tensor>& inputs) {
    const at::Tensor x = inputs[0].contiguous();
    NormQuantizeArguments arguments;
    arguments.columns = x.size(-1);
    arguments.rows = x.numel() / x.size(-1);
    arguments.x = x.const_data_ptr<float>();
    arguments.weight = weight.const_data_ptr<float>();
    arguments.bias = bias.const_data_ptr<float>();
    arguments.epsilon = epsilon;
    arguments.map = MapOf(rows);
    arguments.carrier = carrier;
    const int64_t pitch = carrier.end == 0 ? CodePitch(arguments.columns) : CodePitchWithEnds(arguments.columns);
    at::Tensor codes = Codes(x, arguments.rows, arguments.columns, pitch);
    arguments.pitch = pitch;
    if (carrier.end != 0) arguments.ends_offset = CodePitch(arguments.columns);
    arguments.out = codes.mutable_data_ptr<uint8_t>();
    const at::Tensor half = inputs.size() > 1 ? inputs[1] : at::Tensor();
    if (half.defined()) arguments.half = half.mutable_data_ptr();
    Launch(x, arguments, NormQuantizeOnVectors, NormQuantizeOnGpu);
    return codes;
  };
}

StepFunction HalfMemoryStep() {
  return [](const std::vector<at::Tensor>& inputs) {
    return at::empty(inputs[0].sizes(), inputs[0].options().dtype(at::kHalf));
  };
}

StepFunction PatchQuantizeStep(const Node& convolution, const std::vector<int64_t>& weight_sizes,
                               const std::vector<int64_t>& shape, const Carrier& carrier) {
  PatchQuantizeArguments settings;
  settings.channels = weight_sizes[1];
  settings.kernel = weight_sizes[2];
  settings.stride = static_cast<int64_t>(convolution.Attribute("stride"));
  settings.padding = static_cast<int64_t>(convolution.Attribute("padding"));
  settings.out_height = shape[2];
  settings.out_width = shape[3];
  settings.carrier = carrier;
  return [settings](const std::vector<at::Tensor>& inputs) {
    const at::Tensor x = inputs[0].contiguous();
    PatchQuantizeArguments arguments = settings;
    arguments.images = x.size(0);
    arguments.height = x.size(2);
    arguments.width = x.size(3);
    arguments.x = x.const_data_ptr<float>();
    const int64_t rows = arguments.images * arguments.out_height * arguments.out_width;
    at::Tensor codes = Codes(x, rows, arguments.channels * arguments.kernel * arguments.kernel);
    arguments.pitch = codes.size(1);
    arguments.out = codes.mutable_data_ptr<uint8_t>();
    Launch(x, arguments, PatchQuantizeOnVectors, PatchQuantizeOnGpu);
    return codes;
  };
}

StepFunction ProductToCodesStep(const ProductWeights& product, Activation activation,
                                const std::vector<Carrier>& carriers) {
  const ProductWeights weights = activation == Activation::kNone ? InSteps(product, carriers) : product;
  return [=](const std::vector<at::Tensor>& inputs) {
    ProductArguments arguments = ArgumentsOf(inputs[0], weights);
    at::Tensor codes = Codes(inputs[0], arguments.rows, weights.columns);
    arguments.codes = codes.mutable_data_ptr<uint8_t>();
    arguments.code_pitch = codes.size(1);
    arguments.activation = activation;
    arguments.groups = static_cast<int>(carriers.size());
    std::copy(carriers.begin(), carriers.end(), arguments.carriers);
    Launch(inputs[0], arguments, ProductOnVectors, ProductOnGpu);
    return codes;
  };
}

StepFunction ProductStep(const ProductWeights& weights, const std::vector<int64_t>& shape, const at::Tensor& rows) {
  int64_t rest = 1;
  for (size_t i = 1; i < shape.size(); ++i) rest *= shape[i];
  return [=](const std::vector<at::Tensor>& inputs) {
    ProductArguments arguments = ArgumentsOf(inputs[0], weights);
    std::vector<int64_t> sizes = shape;
    sizes[0] = arguments.rows * weights.columns / rest;
    at::Tensor out = at::empty(sizes, inputs[0].options().dtype(at::kFloat));
    const at::Tensor residual = inputs.size() > 1 ? inputs[1].contiguous() : at::Tensor();
    arguments.out = out.mutable_data_ptr<float>();
    if (residual.defined()) arguments.residual = residual.const_data_ptr<float>();
    const at::Tensor addend = inputs.size() > 2 ? inputs[2].contiguous() : at::Tensor();
    if (addend.defined()) arguments.addend = addend.const_data_ptr();
    arguments.map = MapOf(rows);
    Launch(inputs[0], arguments, ProductOnVectors, ProductOnGpu);
    return out;
  };
}

StepFunction TokensStep(const ProductWeights& weights, int64_t patches, const at::Tensor& tokens) {
  const int64_t count = tokens.size(0);
  const at::Tensor rows = at::arange(count - patches, count, tokens.options().dtype(at::kInt));
  return [=](const std::vector<at::Tensor>& inputs) {
    ProductArguments arguments = ArgumentsOf(inputs[0], weights);
    at::Tensor out = at::empty({arguments.rows / patches, count, weights.columns}, tokens.options());
    out.narrow(1, 0, count - patches).copy_(tokens.narrow(0, 0, count - patches));
    arguments.out = out.mutable_data_ptr<float>();
    arguments.residual = tokens.const_data_ptr<float>();
    arguments.residual_period = count;
    arguments.map = {rows.const_data_ptr<int32_t>(), patches, count};
    Launch(inputs[0], arguments, ProductOnVectors, ProductOnGpu);
    return out;
  };
}

StepFunction AttentionStep(const AttentionSettings& settings) {
  return [settings](const std::vector<at::Tensor>& inputs) {
    AttentionArguments arguments = settings.arguments;
    arguments.windows = inputs[0].size(0) / arguments.tokens;
    arguments.codes = inputs[0].const_data_ptr<uint8_t>();
    arguments.pitch = inputs[0].size(1);
    if (settings.bias.defined()) arguments.bias = settings.bias.const_data_ptr<float>();
    if (settings.mask.defined()) {
      arguments.mask = settings.mask.const_data_ptr<float>();
      arguments.masks = settings.mask.size(0);
    }
    at::Tensor codes = Codes(inputs[0], inputs[0].size(0), arguments.heads * arguments.head_width);
    arguments.out = codes.mutable_data_ptr<uint8_t>();
    arguments.out_pitch = codes.size(1);
    Launch(inputs[0], arguments, AttentionOnVectors, AttentionOnGpu);
    return codes;
  };
}

}  // namespace qwt
