// A network as data: nodes in topological order from a small closed set of ops, cut into stem, blocks and head, each
// one tensor in and one tensor out. Executors, quant methods, size estimates and pictures are walks over it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// Shapes: N images, T tokens, C channels, H heads, D = C / H. Tokens of an image lie row by row, h*w of them; W windows
// of window * window of them each, row by row too, the windows of an image one after the other.
enum class Op {
  kConv2d,                   // [N,Ci,h,w] -> [N,Co,h',w']; weight [Co,Ci/groups,k,k], bias; stride, padding, groups
  kBatchNorm,                // [N,C,h,w] by running statistics; weight, bias, mean, variance [C]; epsilon
  kMaxPool,                  // [N,C,h,w] -> [N,C,h',w']; kernel, stride, padding
  kGlobalAveragePool,        // [N,C,h,w] -> [N,C]
  kFlattenTokens,            // [N,C,h,w] -> [N,h*w,C]
  kPrependToken,             // [N,T,C] -> [N,T+1,C]; weight [1,1,C]
  kAddParameter,             // [N,T,C] + weight [1,T,C]
  kMergePatches,             // [N,h*w,C] -> [N,h*w/4,4C]: each 2 x 2 tokens' channels, column by column; height, width
  kLayerNorm,                // over C; weight, bias [C]; epsilon
  kLinear,                   // [...,Ci] -> [...,Co]; weight [Co,Ci], bias
  kSplitWindows,             // [N,h*w,C] -> [N*W,window^2,C], rolled up and left by shift; height, width, window, shift
  kMergeWindows,             // its inverse, with the same attributes
  kSplitHeads,               // [N,T,3C] -> [N,H,T,D]: part 0 query, 1 key, 2 value; heads, part
  kTranspose,                // swaps the last two dimensions
  kMatmul,                   // batched product of two values
  kScale,                    // times factor
  kAddRelativePositionBias,  // [N*W,H,T,T], T = window^2, + weight [(2*window-1)^2,H] at the tokens' offset; window
  kAddWindowMask,            // [N*W,H,T,T] - 100 between tokens that were no neighbours; as kSplitWindows
  kSoftmax,                  // over the last dimension
  kMergeHeads,               // [N,H,T,D] -> [N,T,C]
  kGelu,                     // exact (erf)
  kRelu,
  kAdd,          // sum of two values
  kSelectToken,  // [N,T,C] -> [N,C]; index
  kMeanTokens,   // [N,T,C] -> [N,C]
  kMean,         // mean of its inputs, element by element
};
// Whether a table has a row, {op, ...}, for each op in the order of Op.
template <typename Row, size_t size>
constexpr bool OnePerOp(const Row (&table)[size]) {
  for (size_t i = 0; i < size; ++i) {
    if (table[i].op != static_cast<Op>(i)) return false;
  }
  return size == static_cast<size_t>(Op::kMean) + 1;
}

const char* OpName(Op op);  // "conv2d", "layer_norm", ...
absl::StatusOr<Op> OpFromName(const std::string& name);

struct Node {
  std::string name;  // "blocks.0.attn.qkv": as the module is published; unique in the graph
  Op op;
  std::vector<int> inputs;                   // values of the segment: 0 is its input, i + 1 is what nodes[i] makes
  std::string weight, bias;                  // parameter names; "" where the node has none
  std::map<std::string, double> attributes;  // as listed at each op
  std::string mean = "", variance = "";      // parameter names, too: kBatchNorm's running statistics

  double Attribute(const std::string& key) const;  // must be there
  std::vector<std::string> ParameterNames() const;
};

// The value of the last node is the segment's output.
struct Segment {
  std::string name;  // "stem", "blocks.0", "layers.0.downsample", "head"
  std::vector<Node> nodes;
};

struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;

  int64_t numel() const;
};

struct Graph {
  std::string name;                             // the registered model's
  int64_t channels = 3, height = 0, width = 0;  // of an input image
  int64_t classes = 0;
  Segment stem;
  std::vector<Segment> blocks;         // QwT compensates each of these
  std::map<int, Segment> transitions;  // by the block that follows; not compensated (Swin's patch merging)
  Segment head;                        // logits [N, classes]
  std::vector<ParameterSpec> parameters;

  // As they run: stem, each block after its transition, head.
  std::vector<const Segment*> Segments() const;
  std::vector<Segment*> MutableSegments();
  // What runs between blocks[index - 1] and blocks[index]; null where nothing does.
  const Segment* TransitionBefore(int index) const;
};

// Those that published counts and sizes are of: without running statistics, which are measured.
std::vector<ParameterSpec> TrainedParameters(const Graph& graph);

// Nodes read values made before them and are read themselves, names are unique, every node has the inputs, parameters
// and attributes of its op, every parameter a node names has a spec and the other way round. One InvalidArgument lists
// all that is wrong.
absl::Status ValidateGraph(const Graph& graph);

// JSON there and back: part of store keys and of saved models. What comes back is validated; InvalidArgument says what
// is wrong where.
std::string GraphToJson(const Graph& graph);
absl::StatusOr<Graph> GraphFromJson(const std::string& json);

}  // namespace qwt
