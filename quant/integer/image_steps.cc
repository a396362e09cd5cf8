#include "quant/integer/image_steps.h"

#include "ATen/ops/bmm.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/empty.h"
#include "quant/integer/kernels/vectors.h"
#include "quant/integer/step_launch.h"

namespace qwt {
namespace {

at::Tensor ChannelsLast(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

at::Tensor EmptyImages(at::IntArrayRef sizes, at::Device device) {
  return at::empty(sizes, at::TensorOptions(at::kFloat).device(device), at::MemoryFormat::ChannelsLast);
}

at::Tensor PixelCodes(const at::Tensor& like, int64_t pixels, int64_t channels) {
  return at::empty({pixels, PixelPitch(channels)}, like.options().dtype(at::kByte));
}

int64_t ImagesOf(const at::Tensor& codes, const PixelWindows& windows) {
  return codes.size(0) / (windows.height * windows.width);
}

// The code of 0 for each of 16 bytes of pixels; 0 beyond a pixel's channels.
at::Tensor Border(const ConvolutionSettings& settings) {
  at::Tensor border = at::empty({16}, at::kByte);
  for (int64_t i = 0; i < 16; ++i) {
    const bool channel = i % PixelPitch(settings.channels) < settings.channels;
    border.data_ptr<uint8_t>()[i] = channel ? static_cast<uint8_t>(settings.input.zero) : 0;
  }
  return border.to(settings.weights.weight.device());
}

}  // namespace

PixelWindows WindowsOf(const Node& node, int64_t kernel, const std::vector<int64_t>& input,
                       const std::vector<int64_t>& output) {
  PixelWindows windows;
  windows.kernel = kernel;
  windows.height = input[2];
  windows.width = input[3];
  windows.stride = static_cast<int64_t>(node.Attribute("stride"));
  windows.padding = static_cast<int64_t>(node.Attribute("padding"));
  windows.out_height = output[2];
  windows.out_width = output[3];
  return windows;
}

StepFunction PixelQuantizeStep(const Carrier& carrier) {
  return [carrier](const std::vector<at::Tensor>& inputs) {
    const int64_t channels = inputs[0].size(1), positions = inputs[0].size(2) * inputs[0].size(3);
    at::Tensor codes = PixelCodes(inputs[0], inputs[0].size(0) * positions, channels);
    if (channels > 4 && inputs[0].is_contiguous(at::MemoryFormat::ChannelsLast)) {
      QuantizeArguments arguments;
      arguments.rows = codes.size(0);
      arguments.columns = channels;
      arguments.pitch = codes.size(1);
      arguments.x = inputs[0].const_data_ptr<float>();
      arguments.carrier = carrier;
      arguments.out = codes.mutable_data_ptr<uint8_t>();
      Launch(codes, arguments, QuantizeOnVectors, QuantizeOnGpu);
      return codes;
    }
    const at::Tensor x = inputs[0].contiguous();
    PixelQuantizeArguments arguments;
    arguments.images = x.size(0);
    arguments.channels = channels;
    arguments.positions = positions;
    arguments.pitch = codes.size(1);
    arguments.x = x.const_data_ptr<float>();
    arguments.carrier = carrier;
    arguments.out = codes.mutable_data_ptr<uint8_t>();
    Launch(codes, arguments, PixelQuantizeOnVectors, PixelQuantizeOnGpu);
    return codes;
  };
}

StepFunction MaxPoolStep(const PixelWindows& windows) {
  return [windows](const std::vector<at::Tensor>& inputs) {
    const at::Tensor x = ChannelsLast(inputs[0]);
    at::Tensor out = EmptyImages({x.size(0), x.size(1), windows.out_height, windows.out_width}, x.device());
    MaxPoolArguments arguments;
    arguments.windows = windows;
    arguments.windows.images = x.size(0);
    arguments.channels = x.size(1);
    arguments.x = x.const_data_ptr<float>();
    arguments.out = out.mutable_data_ptr<float>();
    Launch(x, arguments, MaxPoolOnCpu, MaxPoolOnGpu);
    return out;
  };
}

StepFunction ConvolutionStep(const ConvolutionSettings& settings) {
  const at::Tensor border = Border(settings);
  return [settings, border](const std::vector<at::Tensor>& inputs) {
    const at::Tensor& a = inputs[0];
    ConvolutionArguments arguments;
    PixelWindows& windows = arguments.windows;
    windows = settings.windows;
    windows.images = ImagesOf(a, windows);
    arguments.channels = settings.channels;
    arguments.border = border.const_data_ptr<uint8_t>();
    ProductArguments& product = arguments.product;
    settings.weights.Set(&product);
    product.rows = windows.images * windows.out_height * windows.out_width;
    product.a = a.const_data_ptr<uint8_t>();
    product.a_pitch = a.size(1);
    product.activation = settings.activation;
    const at::Tensor residual = settings.residual ? ChannelsLast(inputs[1]) : at::Tensor();
    if (settings.residual) product.residual = residual.const_data_ptr<float>();
    const at::Tensor addend = settings.addend ? ChannelsLast(inputs[settings.residual ? 2 : 1]) : at::Tensor();
    if (settings.addend) product.addend = addend.const_data_ptr();
    if (settings.addend_bias.defined()) arguments.addend_bias = settings.addend_bias.const_data_ptr<float>();
    if (settings.residual_weight.defined()) arguments.residual_weight = settings.residual_weight.const_data_ptr();
    at::Tensor out, codes;
    if (settings.floats) {
      out = EmptyImages({windows.images, product.columns, windows.out_height, windows.out_width}, a.device());
      product.out = out.mutable_data_ptr<float>();
    }
    if (settings.codes) {
      codes = settings.floats ? inputs.back() : PixelCodes(a, product.rows, product.columns);
      product.codes = codes.mutable_data_ptr<uint8_t>();
      product.code_pitch = codes.size(1);
      product.carriers[0] = *settings.codes;
    }
    Launch(a, arguments, ConvolutionOnVectors, ConvolutionOnGpu);
    return settings.floats ? out : codes;
  };
}

StepFunction CodeMemoryStep(const PixelWindows& windows, int64_t channels) {
  return [windows, channels](const std::vector<at::Tensor>& inputs) {
    const int64_t positions = windows.out_height * windows.out_width;
    return PixelCodes(inputs[0], ImagesOf(inputs[0], windows) * positions, channels);
  };
}

StepFunction GroupConvolutionStep(const at::Tensor& weight, int64_t stride) {
  return [weight, stride](const std::vector<at::Tensor>& inputs) {
    const at::Tensor& x = inputs[0];
    // CPUs lack float16 products: there operands are rounded, and the product of float32.
    const at::ScalarType dtype = x.is_cpu() ? at::kFloat : at::kHalf;
    const int64_t inputs_each = weight.size(1), groups = x.size(1) / inputs_each, padding = weight.size(2) / 2;
    const at::Tensor seen =
        weight.size(2) == 1 ? x.slice(2, 0, std::nullopt, stride).slice(3, 0, std::nullopt, stride) : x;
    at::Tensor rounded = at::empty(seen.sizes(), x.options().dtype(at::kHalf), at::MemoryFormat::ChannelsLast);
    rounded = rounded.copy_(seen).to(dtype);
    if (weight.size(2) != 1) {
      return at::conv2d(rounded, weight.to(dtype), {}, {stride, stride}, {padding, padding}, {1, 1}, groups)
          .to(at::kHalf);
    }
    // A product of matrices for each group, in place in both tensors.
    const int64_t rows = seen.numel() / seen.size(1), outputs = weight.size(0);
    const at::Tensor out = at::empty({seen.size(0), seen.size(2), seen.size(3), outputs}, rounded.options());
    at::Tensor by_group = out.view({rows, groups, outputs / groups}).transpose(0, 1);
    at::bmm_out(by_group, rounded.permute({0, 2, 3, 1}).reshape({rows, groups, inputs_each}).transpose(0, 1),
                weight.to(dtype).view({groups, outputs / groups, inputs_each}).transpose(1, 2));
    return out.permute({0, 3, 1, 2}).to(at::kHalf);
  };
}

}  // namespace qwt
