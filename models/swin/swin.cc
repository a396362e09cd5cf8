#include "models/swin/swin.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "models/graph_builder.h"

namespace qwt {
namespace {

using Attributes = std::map<std::string, double>;

Segment BuildStem(const SwinConfig& config, Graph* graph) {
  SegmentBuilder stem("stem", graph);
  int x = stem.Conv2d("patch_embed.proj", SegmentBuilder::kInput, graph->channels, config.width, config.patch,
                      /*stride=*/config.patch, /*padding=*/0, /*groups=*/1, /*bias=*/true);
  x = stem.Apply("patch_embed.flatten", Op::kFlattenTokens, {x});
  stem.LayerNorm("patch_embed.norm", x, config.width, config.epsilon);
  return stem.Build();
}

// softmax(q·D^-½·kᵀ + bias + mask)·v in each window. `grid`: the block's windows.
int AddAttention(const std::string& name, int x, const SwinStage& stage, const Attributes& grid, bool qkv_bias,
                 SegmentBuilder* block) {
  const double heads = static_cast<double>(stage.heads), window = static_cast<double>(stage.window);
  const double head_width = static_cast<double>(stage.width / stage.heads);
  const int64_t offsets = 2 * stage.window - 1;
  const int qkv = block->Linear(name + ".qkv", x, stage.width, 3 * stage.width, qkv_bias);
  int query = block->Apply(name + ".query", Op::kSplitHeads, {qkv}, {{"heads", heads}, {"part", 0}});
  const int key = block->Apply(name + ".key", Op::kSplitHeads, {qkv}, {{"heads", heads}, {"part", 1}});
  const int value = block->Apply(name + ".value", Op::kSplitHeads, {qkv}, {{"heads", heads}, {"part", 2}});
  // Before the product: a quantised product sees the scaled query.
  query = block->Apply(name + ".scale", Op::kScale, {query}, {{"factor", 1.0 / std::sqrt(head_width)}});
  const int key_transposed = block->Apply(name + ".key_transposed", Op::kTranspose, {key});
  int scores = block->Apply(name + ".matmul1", Op::kMatmul, {query, key_transposed});
  scores = block->Parameter(name + ".relative_position_bias_table", Op::kAddRelativePositionBias, scores,
                            {offsets * offsets, stage.heads}, {{"window", window}});
  if (grid.at("shift") > 0) scores = block->Apply(name + ".mask", Op::kAddWindowMask, {scores}, grid);
  scores = block->Apply(name + ".softmax", Op::kSoftmax, {scores});
  int mixed = block->Apply(name + ".matmul2", Op::kMatmul, {scores, value});
  mixed = block->Apply(name + ".merge", Op::kMergeHeads, {mixed});
  return block->Linear(name + ".proj", mixed, stage.width, stage.width, /*bias=*/true);
}

Segment BuildBlock(const std::string& name, const SwinConfig& config, const SwinStage& stage, bool shifted,
                   Graph* graph) {
  SegmentBuilder block(name, graph);
  const int64_t width = stage.width, hidden = static_cast<int64_t>(width * config.mlp_ratio);
  const double resolution = static_cast<double>(stage.resolution);
  const int64_t shift = shifted && stage.window < stage.resolution ? stage.window / 2 : 0;
  const Attributes grid = {{"height", resolution},
                           {"width", resolution},
                           {"window", static_cast<double>(stage.window)},
                           {"shift", static_cast<double>(shift)}};
  int x = block.LayerNorm(name + ".norm1", SegmentBuilder::kInput, width, config.epsilon);
  x = block.Apply(name + ".split_windows", Op::kSplitWindows, {x}, grid);
  x = AddAttention(name + ".attn", x, stage, grid, config.qkv_bias, &block);
  x = block.Apply(name + ".merge_windows", Op::kMergeWindows, {x}, grid);
  const int middle = block.Apply(name + ".add1", Op::kAdd, {SegmentBuilder::kInput, x});
  x = block.LayerNorm(name + ".norm2", middle, width, config.epsilon);
  x = block.Linear(name + ".mlp.fc1", x, width, hidden, /*bias=*/true);
  x = block.Apply(name + ".mlp.act", Op::kGelu, {x});
  x = block.Linear(name + ".mlp.fc2", x, hidden, width, /*bias=*/true);
  block.Apply(name + ".add2", Op::kAdd, {middle, x});
  return block.Build();
}

Segment BuildDownsample(const std::string& name, const SwinConfig& config, const SwinStage& stage, Graph* graph) {
  SegmentBuilder downsample(name, graph);
  const double resolution = static_cast<double>(stage.resolution);
  int x = downsample.Apply(name + ".merge_patches", Op::kMergePatches, {SegmentBuilder::kInput},
                           {{"height", resolution}, {"width", resolution}});
  x = downsample.LayerNorm(name + ".norm", x, 4 * stage.width, config.epsilon);
  downsample.Linear(name + ".reduction", x, 4 * stage.width, 2 * stage.width, /*bias=*/false);
  return downsample.Build();
}

Segment BuildHead(const SwinConfig& config, int64_t width, Graph* graph) {
  SegmentBuilder head("head", graph);
  int x = head.LayerNorm("norm", SegmentBuilder::kInput, width, config.epsilon);
  x = head.Apply("avgpool", Op::kMeanTokens, {x});
  head.Linear("head", x, width, config.classes, /*bias=*/true);
  return head.Build();
}

}  // namespace

std::vector<SwinStage> SwinStages(const SwinConfig& config) {
  std::vector<SwinStage> stages;
  SwinStage stage = {config.image / config.patch, config.width, 0, 0, 0};
  for (size_t i = 0; i < config.depths.size(); ++i) {
    stage.depth = config.depths[i];
    stage.heads = config.heads[i];
    stage.window = std::min(config.window, stage.resolution);
    stages.push_back(stage);
    stage.resolution /= 2;
    stage.width *= 2;
  }
  return stages;
}

Graph BuildSwin(const std::string& name, const SwinConfig& config) {
  Graph graph;
  graph.name = name;
  graph.height = graph.width = config.image;
  graph.classes = config.classes;
  graph.stem = BuildStem(config, &graph);
  const std::vector<SwinStage> stages = SwinStages(config);
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::string layer = absl::StrCat("layers.", i);
    for (int64_t j = 0; j < stages[i].depth; ++j) {
      graph.blocks.push_back(
          BuildBlock(absl::StrCat(layer, ".blocks.", j), config, stages[i], /*shifted=*/j % 2 == 1, &graph));
    }
    if (i + 1 == stages.size()) continue;
    graph.transitions[static_cast<int>(graph.blocks.size())] =
        BuildDownsample(layer + ".downsample", config, stages[i], &graph);
  }
  graph.head = BuildHead(config, stages.back().width, &graph);
  return graph;
}

}  // namespace qwt
