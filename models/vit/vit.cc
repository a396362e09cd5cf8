#include "models/vit/vit.h"

#include <cmath>

#include "models/graph_builder.h"

namespace qwt {
namespace {

Segment BuildStem(const VitConfig& config, Graph* graph) {
  SegmentBuilder stem("stem", graph);
  const int64_t side = config.image / config.patch;
  int x = stem.Conv2d("patch_embed.proj", SegmentBuilder::kInput, graph->channels, config.width, config.patch,
                      /*stride=*/config.patch, /*padding=*/0, /*groups=*/1, /*bias=*/true);
  x = stem.Apply("patch_embed.flatten", Op::kFlattenTokens, {x});
  // The class token comes first, so it is prepended last.
  if (config.distilled) x = stem.Parameter("dist_token", Op::kPrependToken, x, {1, 1, config.width});
  x = stem.Parameter("cls_token", Op::kPrependToken, x, {1, 1, config.width});
  const int64_t tokens = side * side + (config.distilled ? 2 : 1);
  stem.Parameter("pos_embed", Op::kAddParameter, x, {1, tokens, config.width});
  return stem.Build();
}

// softmax(q·kᵀ · D^-½)·v; the scale comes after the product, so that a quantised product sees q and k as they are.
int AddAttention(const std::string& name, int x, const VitConfig& config, SegmentBuilder* block) {
  const double heads = static_cast<double>(config.heads);
  const double head_width = static_cast<double>(config.width / config.heads);
  const int qkv = block->Linear(name + ".qkv", x, config.width, 3 * config.width, config.qkv_bias);
  const int query = block->Apply(name + ".query", Op::kSplitHeads, {qkv}, {{"heads", heads}, {"part", 0}});
  const int key = block->Apply(name + ".key", Op::kSplitHeads, {qkv}, {{"heads", heads}, {"part", 1}});
  const int value = block->Apply(name + ".value", Op::kSplitHeads, {qkv}, {{"heads", heads}, {"part", 2}});
  const int key_transposed = block->Apply(name + ".key_transposed", Op::kTranspose, {key});
  int scores = block->Apply(name + ".matmul1", Op::kMatmul, {query, key_transposed});
  scores = block->Apply(name + ".scale", Op::kScale, {scores}, {{"factor", 1.0 / std::sqrt(head_width)}});
  scores = block->Apply(name + ".softmax", Op::kSoftmax, {scores});
  int mixed = block->Apply(name + ".matmul2", Op::kMatmul, {scores, value});
  mixed = block->Apply(name + ".merge", Op::kMergeHeads, {mixed});
  return block->Linear(name + ".proj", mixed, config.width, config.width, /*bias=*/true);
}

Segment BuildBlock(const std::string& name, const VitConfig& config, Graph* graph) {
  SegmentBuilder block(name, graph);
  const int64_t hidden = static_cast<int64_t>(config.width * config.mlp_ratio);
  int x = block.LayerNorm(name + ".norm1", SegmentBuilder::kInput, config.width, config.epsilon);
  x = AddAttention(name + ".attn", x, config, &block);
  const int middle = block.Apply(name + ".add1", Op::kAdd, {SegmentBuilder::kInput, x});
  x = block.LayerNorm(name + ".norm2", middle, config.width, config.epsilon);
  x = block.Linear(name + ".mlp.fc1", x, config.width, hidden, /*bias=*/true);
  x = block.Apply(name + ".mlp.act", Op::kGelu, {x});
  x = block.Linear(name + ".mlp.fc2", x, hidden, config.width, /*bias=*/true);
  block.Apply(name + ".add2", Op::kAdd, {middle, x});
  return block.Build();
}

Segment BuildHead(const VitConfig& config, Graph* graph) {
  SegmentBuilder head("head", graph);
  const int norm = head.LayerNorm("norm", SegmentBuilder::kInput, config.width, config.epsilon);
  const int token = head.Apply("head.token", Op::kSelectToken, {norm}, {{"index", 0}});
  const int logits = head.Linear("head", token, config.width, config.classes, /*bias=*/true);
  if (config.distilled) {
    const int dist_token = head.Apply("head_dist.token", Op::kSelectToken, {norm}, {{"index", 1}});
    const int dist_logits = head.Linear("head_dist", dist_token, config.width, config.classes, /*bias=*/true);
    head.Apply("logits", Op::kMean, {logits, dist_logits});
  }
  return head.Build();
}

}  // namespace

Graph BuildVit(const std::string& name, const VitConfig& config) {
  Graph graph;
  graph.name = name;
  graph.height = graph.width = config.image;
  graph.classes = config.classes;
  graph.stem = BuildStem(config, &graph);
  for (int64_t i = 0; i < config.depth; ++i) {
    graph.blocks.push_back(BuildBlock("blocks." + std::to_string(i), config, &graph));
  }
  graph.head = BuildHead(config, &graph);
  return graph;
}

}  // namespace qwt
