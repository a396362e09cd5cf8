// The integer executor's kernels for images on a GPU against the plain loops.
#include <cmath>
#include <tuple>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/tensor/device.h"
#include "core/tensor/stream.h"
#include "gmock/gmock.h"
#include "models/executor.h"
#include "quant/integer/image_steps.h"
#include "quant/integer/integer_executor.h"
#include "quant/integer/kernels/kernels.h"
#include "tests/gpu/gpu.h"
#include "tests/helpers/kernel_cases.h"
#include "tests/helpers/residual_network.h"

namespace qwt {
namespace {

using ConvolutionGpuTest = GpuTest;

struct Case {
  int64_t images, channels, outputs, height, width, kernel, stride, padding;
  float zero = 0;
  bool row_sums = false, residual = false, addend = false;
  bool product = false;  // the addend is made of the residual
};

std::string Name(const Case& c) {
  return absl::StrCat(c.images, " x ", c.channels, " x ", c.height, " x ", c.width, " to ", c.outputs, ", kernel ",
                      c.kernel, " stride ", c.stride, " padding ", c.padding, ", zero ", c.zero,
                      c.row_sums ? ", row sums" : "", c.residual ? ", residual" : "", c.addend ? ", addend" : "",
                      c.product ? ", addend of the residual" : "");
}

PixelWindows WindowsOf(const Case& c) {
  PixelWindows w = {c.images, c.height, c.width, c.kernel, c.stride, c.padding};
  w.out_height = (c.height + 2 * c.padding - c.kernel) / c.stride + 1;
  w.out_width = (c.width + 2 * c.padding - c.kernel) / c.stride + 1;
  return w;
}

struct Tensors {
  at::Tensor a, w, scale, bias, row_sum_scale, residual, addend, addend_bias, residual_weight, border;
};

Tensors RandomTensors(const Case& c) {
  const PixelWindows windows = WindowsOf(c);
  const int64_t pitch = PixelPitch(c.channels), line = KernelLineBytes(c.kernel, pitch);
  const int64_t rows = c.images * windows.out_height * windows.out_width;
  Tensors t;
  t.a = at::randint(0, 256, {c.images * c.height * c.width, pitch}, at::kByte);
  if (pitch == 4) t.a.narrow(1, c.channels, pitch - c.channels).zero_();  // elsewhere what lies there is anything
  const at::Tensor w = at::randint(-128, 128, {c.outputs, c.kernel, c.kernel, c.channels}, at::kChar);
  t.w = at::zeros({(c.outputs + kWeightRows - 1) / kWeightRows * kWeightRows, c.kernel, line}, at::kChar);
  t.w.narrow(0, 0, c.outputs)
      .narrow(2, 0, c.kernel * pitch)
      .unflatten(2, {c.kernel, pitch})
      .narrow(3, 0, c.channels)
      .copy_(w);
  const double size = 128 * 74 * std::sqrt(static_cast<double>(c.kernel * c.kernel * c.channels));  // of Σ a·w
  t.scale = (at::rand({c.outputs}) + 0.5) * (8 / size);
  t.bias = at::rand({c.outputs}) * 15;
  t.row_sum_scale = at::randn({c.outputs}) * (1 / size);
  t.residual = at::randn({rows, c.outputs}) * 8;
  t.addend = (at::randn({rows, c.outputs}) * 4).to(at::kHalf);
  t.addend_bias = at::randn({c.outputs});
  t.residual_weight = (at::randn({c.outputs, kResidualGroup}) / 8).to(at::kHalf);
  t.border = at::zeros({16}, at::kByte);
  for (int64_t i = 0; i < 16; ++i) {
    if (i % pitch < c.channels) t.border.data_ptr<uint8_t>()[i] = static_cast<uint8_t>(c.zero);
  }
  return t;
}

void MoveTo(at::Device device, Tensors* t) {
  for (at::Tensor* tensor : {&t->a, &t->w, &t->scale, &t->bias, &t->row_sum_scale, &t->residual, &t->addend,
                             &t->addend_bias, &t->residual_weight, &t->border}) {
    *tensor = tensor->to(device);
  }
}

enum class Outputs { kFloats, kCodes, kBoth };

// Floats and codes, each undefined where it is not among the outputs; on the CPU.
std::pair<at::Tensor, at::Tensor> Convolve(const Case& c, const Tensors& t, Activation activation, Outputs outputs) {
  ConvolutionArguments a;
  ProductArguments& p = a.product;
  a.windows = WindowsOf(c);
  a.channels = c.channels;
  a.border = t.border.const_data_ptr<uint8_t>();
  p.rows = t.residual.size(0);
  p.columns = c.outputs;
  p.depth = p.w_pitch = c.kernel * t.w.size(2);
  p.a = t.a.const_data_ptr<uint8_t>();
  p.a_pitch = t.a.size(1);
  p.w = t.w.const_data_ptr<int8_t>();
  p.scale = t.scale.const_data_ptr<float>();
  p.bias = t.bias.const_data_ptr<float>();
  if (c.row_sums) p.row_sum_scale = t.row_sum_scale.const_data_ptr<float>();
  p.activation = activation;
  p.carriers[0] = Uniform(0.25f, 9, 255);
  if (outputs != Outputs::kCodes && c.residual) p.residual = t.residual.const_data_ptr<float>();
  if (outputs != Outputs::kCodes && c.addend) {
    p.addend = t.addend.const_data_ptr();
    a.addend_bias = t.addend_bias.const_data_ptr<float>();
  }
  if (outputs != Outputs::kCodes && c.product) {
    a.residual_weight = t.residual_weight.const_data_ptr();
    a.addend_bias = t.addend_bias.const_data_ptr<float>();
  }
  at::Tensor out, codes;
  if (outputs != Outputs::kCodes) {
    out = at::empty_like(t.residual);
    p.out = out.mutable_data_ptr<float>();
  }
  if (outputs != Outputs::kFloats) {
    p.code_pitch = (c.outputs + 15) / 16 * 16;
    codes = at::zeros({p.rows, p.code_pitch}, t.a.options());
    p.codes = codes.mutable_data_ptr<uint8_t>();
  }
  if (t.a.is_cpu()) {
    ConvolutionOnCpu(a);
  } else {
    RunOnStreamOf(t.a, [&](void* stream) { ConvolutionOnGpu(a, stream); });
  }
  return {out.defined() ? out.cpu() : out, codes.defined() ? codes.narrow(1, 0, c.outputs).cpu() : codes};
}

const Case kCases[] = {
    {1, 16, 16, 4, 4, 1, 1, 0},
    {2, 64, 256, 7, 7, 1, 1, 0, 0, false, true, true},
    {3, 72, 40, 9, 5, 1, 2, 0, 0, false, true},
    {1, 64, 64, 14, 14, 3, 1, 1},
    {3, 10, 24, 13, 11, 3, 2, 1, 5, true, true},
    {2, 72, 130, 8, 9, 3, 1, 1, 200, true, false, true},
    {5, 128, 128, 10, 10, 3, 2, 1, 3, false, true, true},
    {2, 3, 64, 32, 32, 7, 2, 3, 117},
    {3, 3, 20, 17, 23, 7, 2, 3, 131, true},
    {1, 1, 12, 9, 9, 5, 1, 2, 40, true},
    {2, 4, 33, 6, 6, 3, 1, 0, 7, false, true},
    {1, 3, 7, 5, 5, 1, 1, 0, 7, true, true, true},
    {2, 512, 96, 7, 7, 3, 1, 1, 1},
    {2, 96, 17, 5, 6, 1, 1, 0, 0, true, true, true},
    {3, 64, 256, 7, 7, 1, 1, 0, 0, false, true, false, true},
    {2, 128, 192, 9, 7, 1, 1, 0, 0, true, true, false, true},
    {5, 64, 64, 8, 8, 3, 1, 1, 2, false, true, false, true},
};

TEST_F(ConvolutionGpuTest, ConvolutionsAreThePlainLoops) {
  for (const Case& c : kCases) {
    const Tensors on_cpu = RandomTensors(c);
    Tensors on_gpu = on_cpu;
    MoveTo(gpu_, &on_gpu);
    for (const auto& [activation, outputs] :
         {std::pair(Activation::kNone, Outputs::kFloats), std::pair(Activation::kRelu, Outputs::kFloats),
          std::pair(Activation::kRelu, Outputs::kCodes), std::pair(Activation::kNone, Outputs::kCodes),
          std::pair(Activation::kRelu, Outputs::kBoth)}) {
      SCOPED_TRACE(absl::StrCat(Name(c), activation == Activation::kRelu ? ", ReLU, outputs " : ", outputs ",
                                static_cast<int>(outputs)));
      const auto [floats, codes] = Convolve(c, on_cpu, activation, outputs);
      const auto [found_floats, found_codes] = Convolve(c, on_gpu, activation, outputs);
      if (floats.defined()) {
        const at::Tensor error = (found_floats - floats).abs().amax(1);
        // A sum that is rounded to float16 may round to the next, which are 2^-5 apart at most.
        EXPECT_LT(error.max().item<float>(), c.product ? 0.04f : 1e-4f)
            << "first at row " << error.argmax().item<int64_t>() << " of " << error.size(0) << ", rows wrong "
            << error.gt(1e-4f).sum().item<int64_t>();
        const double rounded = (found_floats - floats).abs().gt(1e-4f).to(at::kDouble).mean().item<double>();
        EXPECT_LE(rounded, c.product ? 0.01 : 0);
        EXPECT_GT(floats.std().item<float>(), 1);
      }
      if (!codes.defined()) continue;
      // Of values on the edge of two codes, float32's last bit decides.
      const at::Tensor apart = (found_codes.to(at::kInt) - codes.to(at::kInt)).abs();
      EXPECT_LE(apart.max().item<int>(), 1);
      EXPECT_LT(apart.sum().item<int64_t>(), 2 + apart.numel() / 1000);
      EXPECT_GT(codes.to(at::kFloat).std().item<float>(), 3);
    }
  }
}

// As steps, from floats that lie as images do and channels last.
TEST_F(ConvolutionGpuTest, QuantisationAndPoolingAreThePlainLoops) {
  for (const auto& [images, channels, size] :
       {std::tuple<int64_t, int64_t, int64_t>(3, 3, 17), std::tuple<int64_t, int64_t, int64_t>(2, 1, 8),
        std::tuple<int64_t, int64_t, int64_t>(2, 10, 9), std::tuple<int64_t, int64_t, int64_t>(1, 64, 14)}) {
    SCOPED_TRACE(absl::StrCat(images, " x ", channels, " x ", size));
    const at::Tensor x = at::randn({images, channels, size, size});
    const StepFunction quantize = PixelQuantizeStep(Uniform(0.02f, 120, 255));
    PixelWindows windows = {images, size, size, 3, 2, 1};
    windows.out_height = windows.out_width = (size - 1) / 2 + 1;
    const StepFunction pool = MaxPoolStep(windows);
    const at::Tensor codes = quantize({x}).narrow(1, 0, channels), pooled = pool({x});
    for (const at::Tensor& there : {x.to(gpu_), x.to(gpu_).contiguous(at::MemoryFormat::ChannelsLast)}) {
      const at::Tensor found = quantize({there}).narrow(1, 0, channels).cpu();
      EXPECT_LE((found.to(at::kInt) - codes.to(at::kInt)).abs().sum().item<int64_t>(), codes.numel() / 1000);
      EXPECT_TRUE(pool({there}).cpu().equal(pooled));
    }
  }
}

// Each segment against the plain loops on the same input, and the whole to the last bit against its segments.
TEST_F(ConvolutionGpuTest, CompensatedNetworksAreThePlainLoops) {
  for (const bool bottleneck : {false, true}) {
    SCOPED_TRACE(bottleneck ? "bottleneck" : "basic");
    const QuantizedModel model = SmallResidualNetwork(bottleneck);
    const AddedProducts added = RandomGroupConvolutions(model);
    AddedProducts there;
    for (const auto& [block, product] : added) there[block] = {product.weight.to(gpu_), product.bias.to(gpu_)};
    const auto on_cpu = *MakeIntegerExecutor(model.graph, model.parameters, model.plan, added);
    const auto on_gpu = MakeIntegerExecutor(model.graph, ToDevice(model.parameters, gpu_), model.plan, there);
    ASSERT_TRUE(on_gpu.ok()) << on_gpu.status();
    const at::Tensor images = RandomValues({3, 3, 32, 32}, 5);
    at::Tensor x = images;
    for (const Segment* segment : model.graph.Segments()) {
      const at::Tensor expected = *on_cpu->Run(*segment, x);
      const auto found = (*on_gpu)->Run(*segment, x.to(gpu_));
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(found->sizes(), expected.sizes()) << segment->name;
      // Codes of values on an edge differ, and what follows from them; sums round to another float16.
      const at::Tensor error = (found->cpu() - expected).abs() / expected.std();
      EXPECT_LT(error.gt(1e-3).to(at::kFloat).mean().item<float>(), 0.05f) << segment->name;
      EXPECT_LT(error.mean().item<float>(), 1e-3f) << segment->name;
      x = expected;
    }
    at::Tensor expected = images.to(gpu_);
    for (const Segment* segment : model.graph.Segments()) expected = *(*on_gpu)->Run(*segment, expected);
    const auto found = RunGraph(model.graph, **on_gpu, images.to(gpu_));
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(found->equal(expected)) << "largest difference " << (*found - expected).abs().max().item<float>();
  }
}

}  // namespace
}  // namespace qwt
