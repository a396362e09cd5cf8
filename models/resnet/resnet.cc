#include "models/resnet/resnet.h"

#include "absl/strings/str_cat.h"
#include "models/graph_builder.h"

namespace qwt {
namespace {

// Puts convolutions without bias, each with its BatchNorm, into one segment.
class ConvBuilder {
 public:
  ConvBuilder(const std::string& name, const ResnetConfig& config, Graph* graph)
      : segment_(name, graph), epsilon_(config.epsilon) {}

  // Padded so that stride 1 keeps the size; kernel is odd.
  int ConvNorm(const std::string& conv, const std::string& norm, int x, int64_t in, int64_t out, int64_t kernel,
               int64_t stride) {
    x = segment_.Conv2d(conv, x, in, out, kernel, stride, /*padding=*/kernel / 2, /*groups=*/1, /*bias=*/false);
    return segment_.BatchNorm(norm, x, out, epsilon_);
  }
  int Relu(const std::string& name, int x) { return segment_.Apply(name, Op::kRelu, {x}); }
  SegmentBuilder& segment() { return segment_; }

 private:
  SegmentBuilder segment_;
  const double epsilon_;
};

Segment BuildStem(const ResnetConfig& config, Graph* graph) {
  ConvBuilder stem("stem", config, graph);
  int x = stem.ConvNorm("conv1", "bn1", SegmentBuilder::kInput, graph->channels, config.width, 7, 2);
  x = stem.Relu("relu", x);
  stem.segment().Apply("maxpool", Op::kMaxPool, {x}, {{"kernel", 3}, {"stride", 2}, {"padding", 1}});
  return stem.segment().Build();
}

// What a block's convolutions make of its input, before the sum.
int AddResidual(const std::string& name, int64_t in, int64_t width, int64_t out, int64_t stride, bool bottleneck,
                ConvBuilder* block) {
  const std::string conv = name + ".conv", bn = name + ".bn", relu = name + ".relu";
  if (!bottleneck) {
    int x = block->ConvNorm(conv + "1", bn + "1", SegmentBuilder::kInput, in, width, 3, stride);
    x = block->Relu(relu + "1", x);
    return block->ConvNorm(conv + "2", bn + "2", x, width, out, 3, 1);
  }
  int x = block->ConvNorm(conv + "1", bn + "1", SegmentBuilder::kInput, in, width, 1, 1);
  x = block->Relu(relu + "1", x);
  x = block->ConvNorm(conv + "2", bn + "2", x, width, width, 3, stride);
  x = block->Relu(relu + "2", x);
  return block->ConvNorm(conv + "3", bn + "3", x, width, out, 1, 1);
}

Segment BuildBlock(const std::string& name, const ResnetConfig& config, int64_t in, int64_t width, int64_t out,
                   int64_t stride, Graph* graph) {
  ConvBuilder block(name, config, graph);
  const int residual = AddResidual(name, in, width, out, stride, config.bottleneck, &block);
  int shortcut = SegmentBuilder::kInput;
  if (stride != 1 || in != out) {
    shortcut = block.ConvNorm(name + ".downsample.0", name + ".downsample.1", shortcut, in, out, 1, stride);
  }
  const int sum = block.segment().Apply(name + ".add", Op::kAdd, {residual, shortcut});
  block.Relu(name + ".relu", sum);
  return block.segment().Build();
}

Segment BuildHead(const ResnetConfig& config, int64_t channels, Graph* graph) {
  SegmentBuilder head("head", graph);
  const int x = head.Apply("avgpool", Op::kGlobalAveragePool, {SegmentBuilder::kInput});
  head.Linear("fc", x, channels, config.classes, /*bias=*/true);
  return head.Build();
}

}  // namespace

Graph BuildResnet(const std::string& name, const ResnetConfig& config) {
  Graph graph;
  graph.name = name;
  graph.height = graph.width = config.image;
  graph.classes = config.classes;
  graph.stem = BuildStem(config, &graph);
  int64_t channels = config.width, width = config.width;
  for (size_t i = 0; i < config.blocks.size(); ++i) {
    const int64_t out = config.bottleneck ? 4 * width : width;
    for (int64_t j = 0; j < config.blocks[i]; ++j) {
      const int64_t stride = i > 0 && j == 0 ? 2 : 1;
      graph.blocks.push_back(
          BuildBlock(absl::StrCat("layer", i + 1, ".", j), config, channels, width, out, stride, &graph));
      channels = out;
    }
    width *= 2;
  }
  graph.head = BuildHead(config, channels, &graph);
  return graph;
}

}  // namespace qwt
