// The integer executor's kernels on a GPU against the plain loops, and whole networks against the fake quantiser.
#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/tensor/stream.h"
#include "gmock/gmock.h"
#include "quant/fake_quant_executor.h"
#include "quant/integer/integer_executor.h"
#include "quant/integer/kernels/kernels.h"
#include "tests/gpu/gpu.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/kernel_cases.h"

namespace qwt {
namespace {

using IntegerGpuTest = GpuTest;

// What a product reads, on both devices.
struct ProductCase {
  int64_t rows, columns, depth;
  bool row_sums = false, ends = false;
  int64_t period = 0;    // of the row map; 0: none
  bool repeats = false;  // one period's residual for all; in the output a row lies before each period
};

struct ProductTensors {
  at::Tensor a, w, scale, bias, row_sum_scale, end_count_scale, residual, map;
};

// Which codes are ends, uint8 [rows, depth] of 0 and 1.
at::Tensor EndsOf(const at::Tensor& a, const ProductCase& c) {
  at::Tensor ends = at::zeros({c.rows, c.depth}, at::kByte);
  for (int64_t row = 0; row < c.rows; ++row) {
    const auto* words =
        reinterpret_cast<const uint32_t*>(a.const_data_ptr<uint8_t>() + row * a.size(1) + RoundUp(c.depth, 16));
    uint8_t* of = ends.data_ptr<uint8_t>() + row * c.depth;
    for (int64_t k = 0; k < c.depth; ++k) of[k] = words[EndWord(k)] >> EndBit(k) & 1;
  }
  return ends;
}

ProductTensors RandomTensors(const ProductCase& c) {
  ProductTensors t;
  const int64_t pitch = RoundUp(c.depth, 16), words = EndWords(c.depth);
  t.a = at::randint(0, 256, {c.rows, pitch + words * 4}, at::kByte);
  if (c.ends) {  // few, but in the last row many
    t.a.narrow(1, pitch, words * 4).zero_();
    const at::Tensor ends = at::rand({c.rows, c.depth}).lt(0.05);
    ends.narrow(0, c.rows - 1, 1).fill_(true);
    const auto at = ends.accessor<bool, 2>();
    for (int64_t row = 0; row < c.rows; ++row) {
      auto* bits = reinterpret_cast<uint32_t*>(t.a.data_ptr<uint8_t>() + row * t.a.size(1) + pitch);
      for (int64_t k = 0; k < c.depth; ++k) bits[EndWord(k)] |= static_cast<uint32_t>(at[row][k]) << EndBit(k);
    }
  }
  t.w = at::zeros({RoundUp(c.columns, kWeightRows), pitch}, at::kChar);
  t.w.narrow(0, 0, c.columns).narrow(1, 0, c.depth).random_(-128, 128);
  const double size = 128 * 74 * std::sqrt(static_cast<double>(c.depth));  // of Σ a·w
  t.scale = (at::rand({c.columns}) + 0.5) * (8 / size / (c.ends ? 19 : 1));
  t.bias = at::rand({c.columns}) * 15;
  if (c.row_sums) t.row_sum_scale = at::randn({c.columns}) * 1e-3 / std::sqrt(static_cast<double>(c.depth));
  t.end_count_scale = at::randn({c.columns}) * 1e-2;
  t.residual = at::randn({c.repeats ? c.period + 1 : c.rows, c.columns});
  if (c.period > 0) t.map = at::randn({c.period}).argsort().to(at::kInt) + (c.repeats ? 1 : 0);
  return t;
}

void MoveTo(at::Device device, ProductTensors* t) {
  for (at::Tensor* tensor :
       {&t->a, &t->w, &t->scale, &t->bias, &t->row_sum_scale, &t->end_count_scale, &t->residual, &t->map}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
}

ProductArguments ArgumentsOf(const ProductCase& c, const ProductTensors& t) {
  ProductArguments p;
  p.rows = c.rows;
  p.columns = c.columns;
  p.depth = c.depth;
  p.a = t.a.const_data_ptr<uint8_t>();
  p.a_pitch = t.a.size(1);
  p.w = t.w.const_data_ptr<int8_t>();
  p.w_pitch = t.w.size(1);
  p.scale = t.scale.const_data_ptr<float>();
  p.bias = t.bias.const_data_ptr<float>();
  if (c.row_sums) p.row_sum_scale = t.row_sum_scale.const_data_ptr<float>();
  if (c.ends) {
    p.ends_offset = RoundUp(c.depth, 16);
    p.end_multiplier = -19;
    p.end_code = 7;
    if (c.row_sums) p.end_count_scale = t.end_count_scale.const_data_ptr<float>();
  }
  return p;
}

// float32 [rows of the output, columns].
at::Tensor FloatProduct(const ProductCase& c, const ProductTensors& t) {
  const int64_t span = c.period + (c.repeats ? 1 : 0);
  at::Tensor out = at::zeros({c.repeats ? c.rows / c.period * span : c.rows, c.columns}, t.residual.options());
  ProductArguments p = ArgumentsOf(c, t);
  p.out = out.mutable_data_ptr<float>();
  p.residual = t.residual.const_data_ptr<float>();
  if (c.period > 0) p.map = {t.map.const_data_ptr<int32_t>(), c.period, span};
  if (c.repeats) p.residual_period = span;
  if (out.is_cpu()) {
    ProductOnCpu(p);
  } else {
    RunOnStreamOf(out, [&](void* stream) { ProductOnGpu(p, stream); });
  }
  return out.cpu();
}

at::Tensor CodeProduct(const ProductCase& c, const ProductTensors& t, Activation activation, int groups) {
  const int64_t pitch = RoundUp(c.columns, 16);
  at::Tensor out = at::zeros({c.rows, pitch}, t.a.options());
  ProductArguments p = ArgumentsOf(c, t);
  p.codes = out.mutable_data_ptr<uint8_t>();
  p.code_pitch = pitch;
  p.activation = activation;
  p.groups = groups;
  for (int i = 0; i < 3; ++i) p.carriers[i] = Uniform(0.5f + i, 7.0f + i, 15.0f + 40 * i);
  if (out.is_cpu()) {
    ProductOnCpu(p);
  } else {
    RunOnStreamOf(out, [&](void* stream) { ProductOnGpu(p, stream); });
  }
  return out.narrow(1, 0, c.columns).cpu();
}

const ProductCase kProducts[] = {
    {1, 1, 1},
    {3, 10, 48},
    {128, 128, 128},
    {257, 384, 384},
    {300, 1152, 384, false, true},
    {130, 96, 200, true},
    {140, 200, 1100, false, true},
    {385, 132, 3072, false, false, 385},
    {77, 48, 72, true, true},
    {4 * 49, 132, 1536, false, false, 49},
    {64 * 3, 64, 96, false, true, 64},
    {385, 132, 3072, true},
    {3 * 49, 128, 768, true, false, 49, true},
    {5 * 16, 96, 48, false, false, 16, true},
    {2 * 36, 30, 200, true, false, 36, true},
    {1000, 1000, 1000, true, true},
};

std::string Name(const ProductCase& c) {
  return absl::StrCat(c.rows, " x ", c.columns, " x ", c.depth, c.row_sums ? ", row sums" : "", c.ends ? ", ends" : "",
                      c.repeats ? ", residual of " : "", c.repeats ? absl::StrCat(c.period + 1, " rows") : "");
}

TEST_F(IntegerGpuTest, ProductsAreThePlainLoops) {
  for (const ProductCase& c : kProducts) {
    SCOPED_TRACE(Name(c));
    ProductTensors t = RandomTensors(c);
    const at::Tensor floats = FloatProduct(c, t);
    const at::Tensor codes[3] = {CodeProduct(c, t, Activation::kNone, c.columns % 3 == 0 ? 3 : 1),
                                 CodeProduct(c, t, Activation::kGelu, 1), CodeProduct(c, t, Activation::kRelu, 1)};
    MoveTo(gpu_, &t);
    EXPECT_LT((FloatProduct(c, t) - floats).abs().max().item<float>(), 1e-3f * floats.abs().max().item<float>() / 256);
    const at::Tensor found[3] = {CodeProduct(c, t, Activation::kNone, c.columns % 3 == 0 ? 3 : 1),
                                 CodeProduct(c, t, Activation::kGelu, 1), CodeProduct(c, t, Activation::kRelu, 1)};
    for (int i = 0; i < 3; ++i) {
      // Of values on the edge of two codes, float32's last bit decides.
      const at::Tensor apart = (found[i].to(at::kInt) - codes[i].to(at::kInt)).abs();
      EXPECT_LE(apart.max().item<int>(), 1) << i;
      EXPECT_LT(apart.sum().item<int64_t>(), 2 + apart.numel() / 1000) << i;
    }
  }
}

// More tiles than a GPU has multiprocessors, against float64's products on the GPU.
TEST_F(IntegerGpuTest, ProductsOfManyTilesAreFloat64s) {
  const ProductCase cases[] = {
      {5000, 1152, 768, false, true}, {70000, 384, 384}, {30000, 384, 1536}, {9000, 1000, 1100, false, true},
      {70000, 96, 96, false, true},   {33, 30000, 200}};
  for (const ProductCase& c : cases) {
    SCOPED_TRACE(Name(c));
    ProductTensors t = RandomTensors(c);
    at::Tensor ends = at::zeros({c.rows, c.depth}, at::kByte);
    if (c.ends) ends = EndsOf(t.a, c);
    t.residual = at::zeros({c.rows, c.columns});
    MoveTo(gpu_, &t);
    const auto product = [&](const at::Tensor& a) {
      return at::matmul(a.narrow(1, 0, c.depth).to(gpu_, at::kDouble),
                        t.w.narrow(0, 0, c.columns).narrow(1, 0, c.depth).to(at::kDouble).t());
    };
    at::Tensor sums = product(t.a);
    if (c.ends) sums = sums * -19 + product(ends) * 7;
    const at::Tensor expected = (sums * t.scale.to(at::kDouble) + t.bias.to(at::kDouble)).cpu();
    const double largest = expected.abs().max().item<double>();
    const at::Tensor wrong = (FloatProduct(c, t) - expected).abs().gt(1e-6 * largest).nonzero();  // [.., 2]
    EXPECT_EQ(wrong.size(0), 0) << "the first at row " << wrong[0][0].item<int64_t>() << ", column "
                                << wrong[0][1].item<int64_t>() << ", the last at row " << wrong[-1][0].item<int64_t>();
    const at::Tensor codes = (expected.round() + 7).clamp(0, 15).to(at::kInt);
    const at::Tensor apart = (CodeProduct(c, t, Activation::kNone, 1).to(at::kInt) - codes).abs();
    EXPECT_LE(apart.max().item<int>(), 1);
    EXPECT_LT(apart.sum().item<int64_t>(), 2 + apart.numel() / 1000);
  }
}

// Codes with their ends' words, uint8 [rows, pitch].
at::Tensor NormalizedCodes(const NormCase& c, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& map, const at::Tensor& half) {
  at::Tensor out = at::zeros({c.rows, RoundUp(c.columns, 16) + EndWords(c.columns) * 4}, x.options().dtype(at::kByte));
  NormQuantizeArguments p = ArgumentsOf(c, x, weight, bias, map, out);
  if (half.defined()) p.half = half.mutable_data_ptr();
  if (out.is_cpu()) {
    NormQuantizeOnCpu(p);
  } else {
    RunOnStreamOf(out, [&](void* stream) { NormQuantizeOnGpu(p, stream); });
  }
  return out.cpu();
}

TEST_F(IntegerGpuTest, LayerNormsAreThePlainLoops) {
  for (const NormCase& c : {NormCase{1, 4},
                            {3, 48, 0, 0.3f},
                            {1000, 384, 0, -0.2f},
                            {196 * 5, 96, 196, 0.4f},
                            {777, 768, 0, 0.1f},
                            {33, 1536, 33},
                            {20, 4096, 0, -0.5f}}) {
    SCOPED_TRACE(absl::StrCat(c.rows, " x ", c.columns, ", ends ", c.end));
    const at::Tensor x = at::randn({c.rows, c.columns}) + 1, weight = at::rand({c.columns}) + 0.5,
                     bias = at::randn({c.columns});
    const at::Tensor map = at::randn({std::max<int64_t>(1, c.period)}).argsort().to(at::kInt);
    const at::Tensor half = at::zeros({c.rows, c.columns}, at::TensorOptions(gpu_).dtype(at::kHalf));
    const at::Tensor expected = NormalizedCodes(c, x, weight, bias, map, {});
    const at::Tensor found = NormalizedCodes(c, x.to(gpu_), weight.to(gpu_), bias.to(gpu_), map.to(gpu_), half);
    EXPECT_TRUE(half.cpu().equal(x.to(at::kHalf)));
    EXPECT_GT(expected.narrow(1, 0, c.columns).to(at::kFloat).std().item<float>(), 2);
    const at::Tensor apart = (found.to(at::kInt) - expected.to(at::kInt)).abs();
    EXPECT_LE(apart.narrow(1, 0, c.columns).max().item<int>(), 1);
    EXPECT_LE(apart.gt(0).sum().item<int64_t>(), apart.numel() / 100000) << "of values on an edge";
  }
}

at::Tensor Attend(const AttentionCase& c, const at::Tensor& codes, const at::Tensor& bias, const at::Tensor& mask) {
  at::Tensor out = at::zeros({c.windows * c.tokens, RoundUp(c.heads * c.head_width, 16)}, codes.options());
  const AttentionArguments p = ArgumentsOf(c, codes, bias, mask, out);
  if (out.is_cpu()) {
    AttentionOnCpu(p);
  } else {
    RunOnStreamOf(out, [&](void* stream) { AttentionOnGpu(p, stream); });
  }
  return out.narrow(1, 0, c.heads * c.head_width).cpu();
}

// apart: [windows · tokens, heads · head_width].
std::string WhereApart(const at::Tensor& apart, const AttentionCase& c) {
  const int64_t at = apart.argmax().item<int64_t>(), row = at / apart.size(1), column = at % apart.size(1);
  return absl::StrCat("most apart, by ", apart.max().item<int>(), ": window ", row / c.tokens, ", token ",
                      row % c.tokens, ", head ", column / c.head_width, ", column ", column % c.head_width, "; ",
                      apart.gt(0).any(1).sum().item<int64_t>(), " rows differ");
}

TEST_F(IntegerGpuTest, AttentionsAreThePlainLoops) {
  const AttentionCase cases[] = {{3, 17, 3, 16},
                                 {2, 197, 2, 64},
                                 {2, 198, 1, 64, false},
                                 {8, 49, 3, 32, true, true},
                                 {8, 49, 2, 32, true, true, 4},
                                 {5, 16, 2, 12, false, true},
                                 {1, 256, 1, 64},
                                 {1, 1, 1, 4},
                                 {1, 144, 2, 32, true, true},
                                 {1, 230, 1, 60, true, true},
                                 {3000, 4, 3, 8, true, true, 2},  // more windows than blocks
                                 {1, 197, 2, 64, true, false, 0, 2},
                                 {1, 197, 2, 64, true, false, 0, 6},
                                 {1, 197, 2, 64, true, false, 0, 8, 0.0f},
                                 {1, 197, 1, 64, true, false, 0, 4, 0.01f},  // the floor has a code below the largest
                                 {4, 49, 2, 32, false, true, 2, 8}};
  for (const AttentionCase& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.windows, " x ", c.tokens, " x ", c.heads, " x ", c.head_width, ", ", c.bits, " bits"));
    const at::Tensor codes =
        at::randint(0, 1 << c.bits, {c.windows * c.tokens, RoundUp(3 * c.heads * c.head_width, 16)}, at::kByte);
    const at::Tensor bias = at::randn({c.heads, c.tokens, c.tokens});
    const at::Tensor mask = at::rand({std::max<int64_t>(1, c.masks), c.tokens, c.tokens}).lt(0.3).to(at::kFloat) * -100;
    const at::Tensor expected = Attend(c, codes, bias, mask);
    const at::Tensor found = Attend(c, codes.to(gpu_), bias.to(gpu_), mask.to(gpu_));
    EXPECT_GT(expected.to(at::kFloat).std().item<float>(), c.tokens == 1 ? -1 : 3);
    // A probability on the edge of two codes moves its row.
    const at::Tensor apart = (found.to(at::kInt) - expected.to(at::kInt)).abs();
    EXPECT_LT(apart.gt(0).to(at::kFloat).mean().item<float>(), 0.01f) << WhereApart(apart, c);
    EXPECT_LT(apart.to(at::kFloat).mean().item<float>(), 0.05f) << WhereApart(apart, c);
  }
}

// Each segment on the same input. Where codes before it lie on an edge they differ, and what follows from them.
void ExpectSameNetwork(const std::string& name, const std::string& method, const std::string& options, at::Device gpu) {
  SCOPED_TRACE(name + " " + options);
  const GoldenNetwork network = LoadGoldenNetwork(name);
  const QuantizedModel model = QuantizeGolden(network, method, options);
  const TensorMap parameters = ToDevice(model.parameters, gpu);
  const auto fake = *MakeFakeQuantExecutor(model.graph, parameters, model.plan);
  const auto integer = MakeIntegerExecutor(model.graph, parameters, model.plan);
  ASSERT_TRUE(integer.ok()) << integer.status();
  at::Tensor x = network.evaluation.to(gpu);
  for (const Segment* segment : model.graph.Segments()) {
    const at::Tensor expected = *fake->Run(*segment, x);
    const auto found = (*integer)->Run(*segment, x);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(found->sizes(), expected.sizes()) << segment->name;
    const at::Tensor error = (*found - expected).abs() / expected.std();
    EXPECT_LT(error.gt(1e-4).to(at::kFloat).mean().item<float>(), 0.1f) << segment->name;
    x = expected;
  }
}

TEST_F(IntegerGpuTest, NetworksAreTheFakeQuantisers) {
  for (const char* name :
       {"vit_w4a4", "deit_distilled_w4a4", "swin_w4a4", "resnet_basic_w4a4", "resnet_bottleneck_w4a4"}) {
    for (const char* options : {"{weight_bits: 4, activation_bits: 4}", "{weight_bits: 6, activation_bits: 6}",
                                "{weight_bits: 8, activation_bits: 8}", "{weight_bits: 2, activation_bits: 3}"}) {
      const bool tokens = std::string(name).find("resnet") == std::string::npos;
      ExpectSameNetwork(name, tokens ? "repq_vit" : "percentile", options, gpu_);
    }
    ExpectSameNetwork(name, "minmax", "{weight_bits: 8, activation_bits: 8}", gpu_);
  }
}

}  // namespace
}  // namespace qwt
