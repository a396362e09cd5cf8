// The vectorised kernels against the plain loops, at ragged shapes.
#include "quant/integer/kernels/vectors.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/full.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/helpers/kernel_cases.h"

namespace qwt {
namespace {

// Of values on the edge of two codes, float32's last bit decides: a few codes may be one apart.
void ExpectSameCodes(const at::Tensor& found, const at::Tensor& expected, double most) {
  const at::Tensor apart = (found.to(at::kInt) - expected.to(at::kInt)).abs();
  const int64_t at = apart.argmax().item<int64_t>();
  const std::string where = absl::StrCat("most apart at row ", at / apart.size(1), ", column ", at % apart.size(1));
  EXPECT_LE(apart.max().item<int>(), most > 0) << where;
  EXPECT_LE(apart.gt(0).sum().item<int64_t>(), most * static_cast<double>(apart.numel())) << where;
  EXPECT_GT(expected.to(at::kFloat).std().item<float>(), expected.numel() > 100 ? 1.0f : 0.0f) << "codes of one value";
}

struct ProductCase {
  int64_t rows, columns, depth;
  bool row_sums = false;
  double ends = 0;     // what part of the codes; of the last row all
  int64_t period = 0;  // of the row map; 0: none
};

class ProductTensors {
 public:
  explicit ProductTensors(const ProductCase& c) : c_(c), pitch_(RoundUp(c.depth, 16)) {
    a_ = at::randint(0, 256, {c.rows, pitch_ + EndWords(c.depth) * 4}, at::kByte);
    a_.narrow(1, pitch_, EndWords(c.depth) * 4).zero_();
    if (c.ends > 0) SetEnds();
    w_ = at::zeros({RoundUp(c.columns, kWeightRows), pitch_}, at::kChar);
    w_.narrow(0, 0, c.columns).narrow(1, 0, c.depth).random_(-128, 128);
    w_.select(0, c.columns - 1).narrow(0, 0, c.depth).fill_(-128);  // as large as sums can be
    by_input_ = w_.narrow(0, 0, c.columns).narrow(1, 0, c.depth).t().contiguous();
    const double size = 128 * 74 * std::sqrt(static_cast<double>(c.depth));  // of Σ a·w
    scale_ = (at::rand({c.columns}) + 0.5) * (8 / size / (c.ends > 0 ? 19 : 1));
    bias_ = at::rand({c.columns}) * 15;
    row_sum_scale_ = at::randn({c.columns}) * 1e-3 / std::sqrt(static_cast<double>(c.depth));
    end_count_scale_ = at::randn({c.columns}) * 1e-2;
    residual_ = at::randn({c.rows, c.columns});
    if (c.period > 0) map_ = at::randn({c.period}).argsort().to(at::kInt);
  }

  using Kernel = void (*)(const ProductArguments&);

  at::Tensor Floats(Kernel kernel, bool residual, int64_t residual_period = 0) const {
    at::Tensor out = at::zeros({c_.rows, c_.columns});
    ProductArguments p = Arguments();
    p.out = out.mutable_data_ptr<float>();
    if (residual) p.residual = residual_.const_data_ptr<float>();
    p.residual_period = residual_period;
    if (c_.period > 0) p.map = {map_.const_data_ptr<int32_t>(), c_.period, c_.period};
    kernel(p);
    return out;
  }

  at::Tensor Codes(Kernel kernel, Activation activation, int groups) const {
    at::Tensor out = at::zeros({c_.rows, RoundUp(c_.columns, 16)}, at::kByte);
    ProductArguments p = Arguments();
    p.codes = out.mutable_data_ptr<uint8_t>();
    p.code_pitch = out.size(1);
    p.activation = activation;
    p.groups = groups;
    for (int i = 0; i < 3; ++i) {
      p.carriers[i] = Uniform(0.5f + static_cast<float>(i), static_cast<float>(7 + i), static_cast<float>(15 + 40 * i));
    }
    kernel(p);
    return out;
  }

 private:
  void SetEnds() {
    const at::Tensor ends = at::rand({c_.rows, c_.depth}).lt(c_.ends);
    ends.narrow(0, c_.rows - 1, 1).fill_(true);
    for (int64_t row = 0; row < c_.rows; ++row) {
      auto* bits = reinterpret_cast<uint32_t*>(a_.data_ptr<uint8_t>() + row * a_.size(1) + pitch_);
      const bool* of = ends.const_data_ptr<bool>() + row * c_.depth;
      for (int64_t k = 0; k < c_.depth; ++k) bits[EndWord(k)] |= static_cast<uint32_t>(of[k]) << EndBit(k);
    }
  }

  ProductArguments Arguments() const {
    ProductArguments p;
    p.rows = c_.rows;
    p.columns = c_.columns;
    p.depth = c_.depth;
    p.a = a_.const_data_ptr<uint8_t>();
    p.a_pitch = a_.size(1);
    p.w = w_.const_data_ptr<int8_t>();
    p.w_by_input = by_input_.const_data_ptr<int8_t>();
    p.w_pitch = w_.size(1);
    p.scale = scale_.const_data_ptr<float>();
    p.bias = bias_.const_data_ptr<float>();
    if (c_.row_sums) p.row_sum_scale = row_sum_scale_.const_data_ptr<float>();
    if (c_.ends == 0) return p;
    p.ends_offset = pitch_;
    p.end_multiplier = -19;
    p.end_code = 7;
    if (c_.row_sums) p.end_count_scale = end_count_scale_.const_data_ptr<float>();
    return p;
  }

  const ProductCase c_;
  const int64_t pitch_;
  at::Tensor a_, w_, by_input_, scale_, bias_, row_sum_scale_, end_count_scale_, residual_, map_;
};

TEST(VectorsTest, ProductsAreThePlainLoops) {
  for (const ProductCase& c : {ProductCase{1, 1, 1},
                               {3, 10, 48},
                               {128, 128, 128},
                               {257, 384, 384},
                               {300, 1152, 384, false, 0.02},
                               {130, 96, 200, true},
                               {140, 200, 1100, false, 0.3},
                               {257, 132, 3072, false, 0, 257},
                               {77, 48, 72, true, 0.02},
                               {4 * 49, 132, 1536, false, 0, 49},
                               {64 * 3, 63, 95, false, 0.05, 64},
                               {270, 1000, 1000, true, 0.01}}) {
    SCOPED_TRACE(absl::StrCat(c.rows, " x ", c.columns, " x ", c.depth, ", ends ", c.ends));
    at::manual_seed(1);
    const ProductTensors t(c);
    for (const bool residual : {false, true}) {
      for (const int64_t residual_period : {int64_t{0}, (c.rows + 1) / 2}) {
        const at::Tensor floats = t.Floats(ProductOnVectors, residual, residual_period),
                         expected = t.Floats(ProductOnCpu, residual, residual_period);
        EXPECT_TRUE(floats.equal(expected)) << (floats - expected).abs().max().item<float>() << " apart at most";
      }
    }
    const int groups = c.columns % 3 == 0 ? 3 : 1;
    ExpectSameCodes(t.Codes(ProductOnVectors, Activation::kNone, groups),
                    t.Codes(ProductOnCpu, Activation::kNone, groups), 0);
    ExpectSameCodes(t.Codes(ProductOnVectors, Activation::kRelu, 1), t.Codes(ProductOnCpu, Activation::kRelu, 1), 0);
    ExpectSameCodes(t.Codes(ProductOnVectors, Activation::kGelu, 1), t.Codes(ProductOnCpu, Activation::kGelu, 1), 1e-5);
  }
}

TEST(VectorsTest, QuantizedRowsAreThePlainLoops) {
  for (const Activation activation : {Activation::kNone, Activation::kGelu, Activation::kRelu}) {
    at::manual_seed(2);
    const at::Tensor x = at::randn({37, 131}) * 4;
    const auto quantize = [&](void (*kernel)(const QuantizeArguments&)) {
      at::Tensor out = at::zeros({37, 144}, at::kByte);
      kernel({37, 131, 144, x.const_data_ptr<float>(), activation, Uniform(0.3f, 7, 15), out.data_ptr<uint8_t>()});
      return out;
    };
    ExpectSameCodes(quantize(QuantizeOnVectors), quantize(QuantizeOnCpu), activation == Activation::kGelu ? 1e-3 : 0.0);
  }
}

TEST(VectorsTest, LayerNormsAreThePlainLoops) {
  for (const NormCase& c : {NormCase{1, 4},
                            {3, 48, 0, 0.3f},
                            {100, 384, 0, -0.2f},
                            {196 * 5, 100, 196, 0.4f},
                            {77, 768, 0, 0.1f},
                            {33, 1536, 33},
                            {20, 4096, 0, -0.5f}}) {
    SCOPED_TRACE(absl::StrCat(c.rows, " x ", c.columns, ", ends ", c.end));
    at::manual_seed(3);
    const at::Tensor x = at::randn({c.rows, c.columns}) + 1, weight = at::rand({c.columns}) + 0.5,
                     bias = at::randn({c.columns});
    const at::Tensor map = at::randn({std::max<int64_t>(1, c.period)}).argsort().to(at::kInt);
    const auto normalize = [&](void (*kernel)(const NormQuantizeArguments&)) {
      at::Tensor out = at::zeros({c.rows, RoundUp(c.columns, 16) + EndWords(c.columns) * 4}, at::kByte);
      kernel(ArgumentsOf(c, x, weight, bias, map, out));
      return out;
    };
    const at::Tensor found = normalize(NormQuantizeOnVectors), expected = normalize(NormQuantizeOnCpu);
    ExpectSameCodes(found.narrow(1, 0, c.columns), expected.narrow(1, 0, c.columns), 1e-5);
    const at::Tensor apart = found.ne(expected);
    EXPECT_LE(apart.sum().item<int64_t>(), apart.numel() / 100000) << "with the bits of the ends";
  }
}

struct PatchCase {
  int64_t images, channels, side, kernel, stride, padding;
};

TEST(VectorsTest, PatchesAreThePlainLoops) {
  for (const PatchCase& c :
       {PatchCase{2, 3, 32, 16, 16, 0}, {1, 3, 20, 4, 4, 0}, {2, 2, 9, 3, 2, 1}, {1, 1, 5, 7, 1, 3}}) {
    SCOPED_TRACE(absl::StrCat("kernel ", c.kernel, " on ", c.side, ", padding ", c.padding));
    at::manual_seed(4);
    const at::Tensor x = at::randn({c.images, c.channels, c.side, c.side});
    const auto quantize = [&](void (*kernel)(const PatchQuantizeArguments&)) {
      PatchQuantizeArguments p;
      p.images = c.images;
      p.channels = c.channels;
      p.height = p.width = c.side;
      p.kernel = c.kernel;
      p.stride = c.stride;
      p.padding = c.padding;
      p.out_height = p.out_width = (c.side + 2 * c.padding - c.kernel) / c.stride + 1;
      p.pitch = RoundUp(c.channels * c.kernel * c.kernel, 16);
      p.x = x.const_data_ptr<float>();
      p.carrier = Uniform(0.3f, 7, 15);
      at::Tensor out = at::zeros({c.images * p.out_height * p.out_width, p.pitch}, at::kByte);
      p.out = out.mutable_data_ptr<uint8_t>();
      kernel(p);
      return out;
    };
    ExpectSameCodes(quantize(PatchQuantizeOnVectors), quantize(PatchQuantizeOnCpu), 0);
  }
}

at::Tensor Attend(const AttentionCase& c, const at::Tensor& codes, const at::Tensor& bias, const at::Tensor& mask,
                  void (*kernel)(const AttentionArguments&)) {
  at::Tensor out = at::zeros({c.windows * c.tokens, RoundUp(c.heads * c.head_width, 16)}, at::kByte);
  kernel(ArgumentsOf(c, codes, bias, mask, out));
  return out.narrow(1, 0, c.heads * c.head_width);
}

TEST(VectorsTest, AttentionsAreThePlainLoops) {
  for (const AttentionCase& c : {AttentionCase{3, 17, 3, 16},
                                 {2, 197, 2, 64},
                                 {2, 198, 1, 64, false},
                                 {8, 49, 3, 32, true, true},
                                 {90, 49, 2, 32, true, true, 4},  // more windows than are taken at once
                                 {5, 16, 2, 12, false, true},
                                 {1, 1, 1, 4},
                                 {1, 197, 2, 64, true, false, 0, 2},
                                 {1, 197, 2, 64, true, false, 0, 6},
                                 {1, 197, 2, 64, true, false, 0, 8, 0.0f},
                                 {1, 197, 1, 64, true, false, 0, 4, 0.01f},  // the floor has a code below the largest
                                 {4, 49, 2, 32, false, true, 2, 8}}) {
    SCOPED_TRACE(absl::StrCat(c.windows, " x ", c.tokens, " x ", c.heads, " x ", c.head_width, ", ", c.bits, " bits"));
    at::manual_seed(5);
    const at::Tensor codes =
        at::randint(0, 1 << c.bits, {c.windows * c.tokens, RoundUp(3 * c.heads * c.head_width, 16)}, at::kByte);
    const at::Tensor bias = at::randn({c.heads, c.tokens, c.tokens});
    const at::Tensor mask = at::randn({std::max<int64_t>(1, c.masks), c.tokens, c.tokens}).gt(1).to(at::kFloat) * -100;
    const at::Tensor expected = Attend(c, codes, bias, mask, AttentionOnCpu);
    const at::Tensor found = Attend(c, codes, bias, mask, AttentionOnVectors);
    // One probability on an edge changes a query's whole row, by a step of √2 of it.
    const at::Tensor rows = (found.to(at::kInt) - expected.to(at::kInt)).abs().gt(1).any(1);
    EXPECT_LE(rows.sum().item<int64_t>(), rows.numel() / 100) << "rows of probabilities on an edge";
    const at::Tensor codes_apart = found.ne(expected);
    EXPECT_LE(codes_apart.sum().item<int64_t>(), codes_apart.numel() / 200);
    EXPECT_GT(expected.to(at::kFloat).std().item<float>(), 2);
  }
}

TEST(VectorsTest, PixelsAreThePlainLoops) {
  for (const int64_t channels : {1, 3, 4, 20}) {
    SCOPED_TRACE(channels);
    at::manual_seed(6);
    const at::Tensor x = at::randn({2, channels, 7, 9});
    const auto quantize = [&](void (*kernel)(const PixelQuantizeArguments&)) {
      at::Tensor out = at::full({2 * 63, PixelPitch(channels)}, 255, at::kByte);
      kernel({2, channels, 63, out.size(1), x.const_data_ptr<float>(), Uniform(0.3f, 7, 15), out.data_ptr<uint8_t>()});
      return out;
    };
    ExpectSameCodes(quantize(PixelQuantizeOnVectors), quantize(PixelQuantizeOnCpu), 0);
  }
}

struct ConvolutionCase {
  int64_t images, channels, side, kernel, stride, padding, outputs;
  bool row_sums = false, residual = false, floats = false, codes = true, biased = false;
};

struct Made {
  at::Tensor floats, codes;
};

class ConvolutionTensors {
 public:
  explicit ConvolutionTensors(const ConvolutionCase& c)
      : c_(c), pitch_(PixelPitch(c.channels)), side_((c.side + 2 * c.padding - c.kernel) / c.stride + 1) {
    const int64_t line = KernelLineBytes(c.kernel, pitch_);
    a_ = at::randint(0, 256, {c.images * c.side * c.side, pitch_}, at::kByte);  // beyond the channels, too
    w_ = at::zeros({RoundUp(c.outputs, kWeightRows), c.kernel, line}, at::kChar);
    w_.narrow(0, 0, c.outputs)
        .narrow(2, 0, c.kernel * pitch_)
        .unflatten(2, {c.kernel, pitch_})
        .narrow(3, 0, c.channels)
        .random_(-128, 128);
    border_ = at::full({16}, 9, at::kByte);
    if (pitch_ == 4) border_.view({4, 4}).narrow(1, c.channels, 4 - c.channels).zero_();
    const double size = 128 * 74 * std::sqrt(static_cast<double>(c.channels * c.kernel * c.kernel));
    scale_ = (at::rand({c.outputs}) + 0.5) * (2 / size);
    bias_ = at::randn({c.outputs});
    row_sum_scale_ = at::randn({c.outputs}) / size;
    residual_ = at::randn({c.images * side_ * side_, c.outputs});
    addend_bias_ = at::randn({c.outputs});
  }

  Made Run(void (*kernel)(const ConvolutionArguments&)) const {
    ConvolutionArguments a;
    a.windows = {c_.images, c_.side, c_.side, c_.kernel, c_.stride, c_.padding, side_, side_};
    a.channels = c_.channels;
    a.border = border_.const_data_ptr<uint8_t>();
    if (c_.biased) a.addend_bias = addend_bias_.const_data_ptr<float>();
    ProductArguments& p = a.product;
    p.rows = residual_.size(0);
    p.columns = c_.outputs;
    p.depth = p.w_pitch = w_.size(1) * w_.size(2);
    p.a = a_.const_data_ptr<uint8_t>();
    p.a_pitch = pitch_;
    p.w = w_.const_data_ptr<int8_t>();
    p.scale = scale_.const_data_ptr<float>();
    p.bias = bias_.const_data_ptr<float>();
    if (c_.row_sums) p.row_sum_scale = row_sum_scale_.const_data_ptr<float>();
    if (c_.residual) p.residual = residual_.const_data_ptr<float>();
    p.activation = Activation::kRelu;
    Made made = {at::zeros({p.rows, c_.outputs}), at::zeros({p.rows, PixelPitch(c_.outputs)}, at::kByte)};
    if (c_.floats) p.out = made.floats.mutable_data_ptr<float>();
    if (c_.codes) p.codes = made.codes.mutable_data_ptr<uint8_t>();
    p.code_pitch = made.codes.size(1);
    p.carriers[0] = Uniform(0.3f, 2, 15);
    kernel(a);
    return made;
  }

 private:
  const ConvolutionCase c_;
  const int64_t pitch_, side_;  // of the output
  at::Tensor a_, w_, border_, scale_, bias_, row_sum_scale_, residual_, addend_bias_;
};

TEST(VectorsTest, ConvolutionsAreThePlainLoops) {
  for (const ConvolutionCase& c : {ConvolutionCase{2, 3, 17, 7, 2, 3, 40},
                                   {3, 64, 9, 3, 1, 1, 33, false, true, true, true, true},
                                   {1, 20, 8, 3, 2, 1, 10, true},
                                   {2, 64, 14, 1, 1, 0, 130, false, true, true},
                                   {2, 24, 7, 1, 1, 0, 16, true, false, true, false},
                                   {1, 32, 15, 1, 2, 0, 64, true, true, false, true, true},
                                   {1, 16, 3, 5, 1, 2, 48, true}}) {
    SCOPED_TRACE(absl::StrCat(c.kernel, " x ", c.kernel, " of ", c.channels, " channels, stride ", c.stride));
    at::manual_seed(7);
    const ConvolutionTensors tensors(c);
    const Made found = tensors.Run(ConvolutionOnVectors), expected = tensors.Run(ConvolutionOnCpu);
    EXPECT_TRUE(found.floats.equal(expected.floats))
        << (found.floats - expected.floats).abs().max().item<float>() << " apart at most";
    EXPECT_EQ(expected.floats.any().item<bool>(), c.floats);
    if (c.codes) ExpectSameCodes(found.codes, expected.codes, 0);
  }
}

}  // namespace
}  // namespace qwt
