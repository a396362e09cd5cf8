#include "models/checkpoints/layout.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/ones.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using testing::UnorderedElementsAre;

Graph WithParameters(const std::vector<std::string>& names) {
  Graph graph;
  for (const std::string& name : names) graph.parameters.push_back({name, {1}});
  return graph;
}

TensorMap Named(const std::vector<std::string>& names) {
  TensorMap tensors;
  for (const std::string& name : names) tensors[name] = at::ones({1});
  return tensors;
}

std::vector<std::string> NamesOf(const Parameters& parameters) {
  std::vector<std::string> names;
  for (const auto& [name, parts] : parameters) names.push_back(name);
  return names;
}

at::Tensor Whole(const Parts& parts) { return at::cat(parts, 0).contiguous(); }

// 0, 1, 2, … in this shape.
at::Tensor Counting(at::IntArrayRef shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return at::arange(count, at::kFloat).reshape(shape);
}

TEST(LayoutTest, APrefixThatAllNamesShareGoes) {
  const Graph graph = WithParameters({"head.weight"});
  EXPECT_THAT(NamesOf(AdaptLayout(Named({"module.head.weight", "module.norm.weight"}), graph)),
              UnorderedElementsAre("head.weight", "norm.weight"));
  EXPECT_THAT(NamesOf(AdaptLayout(Named({"module._orig_mod.head.weight"}), graph)),
              UnorderedElementsAre("head.weight"));
  EXPECT_THAT(NamesOf(AdaptLayout(Named({"model.module.head.weight"}), graph)), UnorderedElementsAre("head.weight"));
  EXPECT_THAT(NamesOf(AdaptLayout(Named({"module.head.weight", "norm.weight"}), graph)),
              UnorderedElementsAre("module.head.weight", "norm.weight"));
}

TEST(LayoutTest, BuffersGoUnlessTheGraphHasThem) {
  const TensorMap tensors = Named({"bn1.num_batches_tracked", "layers.0.blocks.0.attn.relative_position_index",
                                   "layers.0.blocks.1.attn_mask", "attn_mask_weight", "bn1.running_mean"});
  EXPECT_THAT(NamesOf(AdaptLayout(tensors, WithParameters({}))),
              UnorderedElementsAre("attn_mask_weight", "bn1.running_mean"));
  EXPECT_THAT(NamesOf(AdaptLayout(Named({"a.attn_mask"}), WithParameters({"a.attn_mask"}))),
              UnorderedElementsAre("a.attn_mask"));
}

TEST(LayoutTest, SwinAsNewerTimmPublishesIt) {
  const Graph graph = WithParameters(
      {"layers.0.downsample.reduction.weight", "layers.1.downsample.reduction.weight", "head.weight", "head.bias"});
  const TensorMap newer = Named({"layers.1.downsample.reduction.weight", "layers.2.downsample.norm.bias",
                                 "head.fc.weight", "head.fc.bias", "layers.1.blocks.0.norm1.weight"});
  EXPECT_THAT(NamesOf(AdaptLayout(newer, graph)),
              UnorderedElementsAre("layers.0.downsample.reduction.weight", "layers.1.downsample.norm.bias",
                                   "head.weight", "head.bias", "layers.1.blocks.0.norm1.weight"));
  // layers.1.downsample is in both namings: layers.0.downsample tells that this is the old one.
  const std::vector<std::string> older = {"layers.0.downsample.reduction.weight",
                                          "layers.1.downsample.reduction.weight", "head.weight"};
  EXPECT_THAT(NamesOf(AdaptLayout(Named(older), graph)), testing::UnorderedElementsAreArray(older));
}

TEST(LayoutTest, NamesOfOtherNetworksStay) {
  const std::vector<std::string> names = {"layers.1.downsample.reduction.weight", "head.fc.weight"};
  EXPECT_THAT(NamesOf(AdaptLayout(Named(names), WithParameters({"fc.weight"}))),
              testing::UnorderedElementsAreArray(names));
}

// Two heads of three, five channels in.
TEST(LayoutTest, JaxAttentionIsOneMatrix) {
  const std::string block = "Transformer/encoderblock_11/";
  const std::string attention = block + "MultiHeadDotProductAttention_1/";
  TensorMap tensors = Named({"embedding/kernel"});
  for (const char* part : {"query", "key", "value"}) {
    tensors[attention + part + "/kernel"] = Counting({5, 2, 3}) + 100.0 * part[0];
    tensors[attention + part + "/bias"] = Counting({2, 3}) + 100.0 * part[0];
  }
  tensors[attention + "out/kernel"] = Counting({2, 3, 5});
  const Parameters adapted = AdaptLayout(tensors, WithParameters({}));

  const at::Tensor weight = Whole(adapted.at("blocks.11.attn.qkv.weight"));
  ASSERT_EQ(weight.sizes(), (std::vector<int64_t>{18, 5}));
  int64_t row = 0;
  for (const char* part : {"query", "key", "value"}) {
    for (int64_t head = 0; head < 2; ++head) {
      for (int64_t d = 0; d < 3; ++d, ++row) {
        for (int64_t in = 0; in < 5; ++in) {
          EXPECT_EQ(weight[row][in].item<float>(), (in * 2 + head) * 3 + d + 100.0 * part[0]) << row << " " << in;
        }
        EXPECT_EQ(Whole(adapted.at("blocks.11.attn.qkv.bias"))[row].item<float>(), head * 3 + d + 100.0 * part[0]);
      }
    }
  }
  const at::Tensor out = Whole(adapted.at("blocks.11.attn.proj.weight"));
  ASSERT_EQ(out.sizes(), (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(out[4][3].item<float>(), (1 * 3 + 0) * 5 + 4);
}

TEST(LayoutTest, JaxKernelsAreTransposedAndTheOptimiserGoes) {
  TensorMap tensors;
  tensors["opt/target/embedding/kernel"] = Counting({2, 2, 3, 4});  // HWIO
  tensors["opt/target/head/kernel"] = Counting({4, 7});
  tensors["opt/target/Transformer/encoderblock_0/LayerNorm_2/scale"] = at::ones({4});
  tensors["opt/target/Transformer/encoderblock_0/MlpBlock_3/Dense_1/kernel"] = Counting({8, 4});
  tensors["opt/target/Transformer/posembed_input/pos_embedding"] = at::ones({1, 5, 4});
  tensors["opt/state/step"] = at::ones({});
  const Parameters adapted = AdaptLayout(tensors, WithParameters({}));
  EXPECT_THAT(NamesOf(adapted), UnorderedElementsAre("patch_embed.proj.weight", "head.weight", "blocks.0.norm2.weight",
                                                     "blocks.0.mlp.fc2.weight", "pos_embed"));
  const at::Tensor patch = adapted.at("patch_embed.proj.weight")[0];
  ASSERT_EQ(patch.sizes(), (std::vector<int64_t>{4, 3, 2, 2}));
  EXPECT_EQ(patch[3][2][1][0].item<float>(), ((1 * 2 + 0) * 3 + 2) * 4 + 3);
  EXPECT_EQ(adapted.at("head.weight")[0][6][1].item<float>(), 1 * 7 + 6);
  EXPECT_EQ(adapted.at("blocks.0.mlp.fc2.weight")[0].sizes(), (std::vector<int64_t>{4, 8}));
}

TEST(LayoutTest, WhatJaxNamesDoNotMakeWholeStays) {
  const std::string query = "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel";
  TensorMap tensors = Named({"embedding/kernel", "pre_logits/kernel"});
  tensors[query] = Counting({4, 2, 2});
  EXPECT_THAT(NamesOf(AdaptLayout(tensors, WithParameters({}))),
              UnorderedElementsAre("patch_embed.proj.weight", "pre_logits/kernel", query));
}

TEST(LayoutTest, ForeignNamesAreRecognised) {
  const Graph vit = WithParameters({"blocks.0.attn.qkv.weight"});
  const auto foreign = [](const std::string& name, const Graph& graph) {
    return ForeignLayout(AdaptLayout(Named({name, "x"}), graph), graph);
  };
  EXPECT_EQ(foreign("encoder.layers.encoder_layer_0.ln_1.weight", vit), "torchvision's VisionTransformer");
  EXPECT_EQ(foreign("layers.0.blocks.0.attn.qkv.weight", vit), "timm's Swin");
  EXPECT_EQ(foreign("blocks.0.attn.qkv.weight", vit), "");
  EXPECT_EQ(foreign("blocks.0.attn.qkv.weight", WithParameters({"conv1.weight"})), "timm's ViT or DeiT");
  EXPECT_EQ(foreign("something.weight", vit), "");
}

}  // namespace
}  // namespace qwt
