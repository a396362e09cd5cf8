#include "models/graph.h"

#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "models/shape.h"

namespace qwt {
namespace {

constexpr int kOneOrMore = -1;

// Which parameters a node of an op names; each enumerator adds to the one before it.
enum class Parameters { kNone, kWeight, kWeightAndOptionalBias, kWeightAndBias, kWeightBiasAndStatistics };

// What a node of each op must bring.
struct OpTraits {
  Op op;
  const char* name;
  int inputs;
  Parameters parameters;
  std::vector<const char*> attributes;
};

// In the order of the enumerators.
const std::vector<OpTraits>& AllTraits() {
  using P = Parameters;
  static const auto* traits = new std::vector<OpTraits>{
      {Op::kConv2d, "conv2d", 1, P::kWeightAndOptionalBias, {"groups", "padding", "stride"}},
      {Op::kBatchNorm, "batch_norm", 1, P::kWeightBiasAndStatistics, {"epsilon"}},
      {Op::kMaxPool, "max_pool", 1, P::kNone, {"kernel", "padding", "stride"}},
      {Op::kGlobalAveragePool, "global_average_pool", 1, P::kNone, {}},
      {Op::kFlattenTokens, "flatten_tokens", 1, P::kNone, {}},
      {Op::kPrependToken, "prepend_token", 1, P::kWeight, {}},
      {Op::kAddParameter, "add_parameter", 1, P::kWeight, {}},
      {Op::kMergePatches, "merge_patches", 1, P::kNone, {"height", "width"}},
      {Op::kLayerNorm, "layer_norm", 1, P::kWeightAndBias, {"epsilon"}},
      {Op::kLinear, "linear", 1, P::kWeightAndOptionalBias, {}},
      {Op::kSplitWindows, "split_windows", 1, P::kNone, {"height", "shift", "width", "window"}},
      {Op::kMergeWindows, "merge_windows", 1, P::kNone, {"height", "shift", "width", "window"}},
      {Op::kSplitHeads, "split_heads", 1, P::kNone, {"heads", "part"}},
      {Op::kTranspose, "transpose", 1, P::kNone, {}},
      {Op::kMatmul, "matmul", 2, P::kNone, {}},
      {Op::kScale, "scale", 1, P::kNone, {"factor"}},
      {Op::kAddRelativePositionBias, "add_relative_position_bias", 1, P::kWeight, {"window"}},
      {Op::kAddWindowMask, "add_window_mask", 1, P::kNone, {"height", "shift", "width", "window"}},
      {Op::kSoftmax, "softmax", 1, P::kNone, {}},
      {Op::kMergeHeads, "merge_heads", 1, P::kNone, {}},
      {Op::kGelu, "gelu", 1, P::kNone, {}},
      {Op::kRelu, "relu", 1, P::kNone, {}},
      {Op::kAdd, "add", 2, P::kNone, {}},
      {Op::kSelectToken, "select_token", 1, P::kNone, {"index"}},
      {Op::kMeanTokens, "mean_tokens", 1, P::kNone, {}},
      {Op::kMean, "mean", kOneOrMore, P::kNone, {}},
  };
  return *traits;
}

const OpTraits& TraitsOf(Op op) {
  const auto index = static_cast<size_t>(op);
  QWT_CHECK(index < AllTraits().size() && AllTraits()[index].op == op);
  return AllTraits()[index];
}

// Collects everything that is wrong with one graph.
class Validator {
 public:
  explicit Validator(const Graph& graph) : graph_(graph) {}

  absl::Status Run() {
    CheckDimensions();
    for (const ParameterSpec& spec : graph_.parameters) CheckSpec(spec);
    for (const auto& [index, segment] : graph_.transitions) {
      if (index >= 0 && index < static_cast<int64_t>(graph_.blocks.size())) continue;
      Add("segment '", segment.name, "' stands before block ", index, ", there are ", graph_.blocks.size(), " blocks");
    }
    for (const Segment* segment : graph_.Segments()) CheckSegment(*segment);
    for (const ParameterSpec& spec : graph_.parameters) {
      if (!used_parameters_.count(spec.name)) Add("parameter '", spec.name, "' is used by no node");
    }
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("graph '", graph_.name, "': ", absl::StrJoin(problems_, "\n  ")));
  }

 private:
  template <typename... Parts>
  void Add(const Parts&... parts) {
    problems_.push_back(absl::StrCat(parts...));
  }

  void CheckDimensions() {
    const std::pair<const char*, int64_t> dimensions[] = {
        {"channels", graph_.channels}, {"height", graph_.height}, {"width", graph_.width}, {"classes", graph_.classes}};
    for (const auto& [name, value] : dimensions) {
      if (value < 1) Add(name, " is ", value, ", must be at least 1");
    }
  }

  void CheckSpec(const ParameterSpec& spec) {
    if (!specs_.insert(spec.name).second) Add("two parameters have the name '", spec.name, "'");
    for (int64_t size : spec.shape) {
      if (size < 1) {
        Add("parameter '", spec.name, "' has shape ", ShapeText(spec.shape), ", every size must be at least 1");
        break;
      }
    }
  }

  void CheckSegment(const Segment& segment) {
    if (segment.name.empty()) Add("a segment has no name");
    if (!segments_.insert(segment.name).second) Add("two segments have the name '", segment.name, "'");
    if (segment.nodes.empty()) Add("segment '", segment.name, "' has no nodes");
    std::set<int> read;
    for (size_t i = 0; i < segment.nodes.size(); ++i) {
      CheckNode(segment.nodes[i], static_cast<int>(i));
      read.insert(segment.nodes[i].inputs.begin(), segment.nodes[i].inputs.end());
    }
    if (!segment.nodes.empty() && !read.count(0)) Add("segment '", segment.name, "': no node reads its input");
    for (size_t i = 0; i + 1 < segment.nodes.size(); ++i) {
      if (!read.count(static_cast<int>(i) + 1)) Add(Where(segment.nodes[i]), "no node reads its value");
    }
  }

  // Values 0 to `index` are made before node `index`.
  void CheckNode(const Node& node, int index) {
    const OpTraits& traits = TraitsOf(node.op);
    if (node.name.empty()) Add("a node has no name");
    if (!nodes_.insert(node.name).second) Add("two nodes have the name '", node.name, "'");
    const int inputs = static_cast<int>(node.inputs.size());
    if (traits.inputs == kOneOrMore ? inputs < 1 : inputs != traits.inputs) {
      Add(Where(node), "has ", inputs, " inputs, needs ",
          traits.inputs == kOneOrMore ? "at least 1" : absl::StrCat(traits.inputs));
    }
    for (int input : node.inputs) {
      if (input < 0 || input > index)
        Add(Where(node), "reads value ", input, ", only 0 to ", index, " are made before it");
    }
    CheckAttributes(node, traits);
    CheckParameters(node, traits.parameters);
  }

  void CheckAttributes(const Node& node, const OpTraits& traits) {
    std::set<std::string> expected(traits.attributes.begin(), traits.attributes.end());
    for (const std::string& key : expected) {
      if (!node.attributes.count(key)) Add(Where(node), "lacks the attribute '", key, "'");
    }
    for (const auto& [key, value] : node.attributes) {
      if (!expected.count(key)) Add(Where(node), "has the attribute '", key, "', which its op does not take");
    }
  }

  void CheckParameters(const Node& node, Parameters parameters) {
    const bool weight = parameters >= Parameters::kWeight,
               statistics = parameters == Parameters::kWeightBiasAndStatistics;
    CheckParameter(node, "weight", node.weight, weight, weight);
    CheckParameter(node, "bias", node.bias, parameters >= Parameters::kWeightAndOptionalBias,
                   parameters >= Parameters::kWeightAndBias);
    CheckParameter(node, "mean", node.mean, statistics, statistics);
    CheckParameter(node, "variance", node.variance, statistics, statistics);
  }

  void CheckParameter(const Node& node, const char* role, const std::string& name, bool allowed, bool required) {
    if (name.empty()) {
      if (required) Add(Where(node), "has no ", role);
      return;
    }
    if (!allowed) Add(Where(node), "has the ", role, " '", name, "', which its op does not take");
    if (!specs_.count(name)) Add(Where(node), "its ", role, " '", name, "' is not among the parameters");
    used_parameters_.insert(name);
  }

  std::string Where(const Node& node) { return absl::StrCat("node '", node.name, "' (", OpName(node.op), "): "); }

  const Graph& graph_;
  std::vector<std::string> problems_;
  std::set<std::string> specs_, segments_, nodes_, used_parameters_;
};

}  // namespace

const char* OpName(Op op) { return TraitsOf(op).name; }

absl::StatusOr<Op> OpFromName(const std::string& name) {
  std::vector<std::string> names;
  for (const OpTraits& traits : AllTraits()) {
    if (name == traits.name) return traits.op;
    names.push_back(traits.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown op '", name, "'; there are: ", absl::StrJoin(names, ", ")));
}

double Node::Attribute(const std::string& key) const {
  auto found = attributes.find(key);
  QWT_CHECK(found != attributes.end());
  return found->second;
}

std::vector<std::string> Node::ParameterNames() const {
  std::vector<std::string> names;
  for (const std::string* name : {&weight, &bias, &mean, &variance}) {
    if (!name->empty()) names.push_back(*name);
  }
  return names;
}

int64_t ParameterSpec::numel() const { return Numel(shape); }

const Segment* Graph::TransitionBefore(int index) const {
  const auto found = transitions.find(index);
  return found == transitions.end() ? nullptr : &found->second;
}

std::vector<const Segment*> Graph::Segments() const {
  std::vector<const Segment*> segments = {&stem};
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (const Segment* transition = TransitionBefore(static_cast<int>(i))) segments.push_back(transition);
    segments.push_back(&blocks[i]);
  }
  segments.push_back(&head);
  return segments;
}

std::vector<Segment*> Graph::MutableSegments() {
  std::vector<Segment*> segments;
  for (const Segment* segment : Segments()) segments.push_back(const_cast<Segment*>(segment));
  return segments;
}

std::vector<ParameterSpec> TrainedParameters(const Graph& graph) {
  std::set<std::string> measured;
  for (const Segment* segment : graph.Segments()) {
    for (const Node& node : segment->nodes) measured.insert({node.mean, node.variance});
  }
  std::vector<ParameterSpec> trained;
  for (const ParameterSpec& spec : graph.parameters) {
    if (!measured.count(spec.name)) trained.push_back(spec);
  }
  return trained;
}

absl::Status ValidateGraph(const Graph& graph) { return Validator(graph).Run(); }

}  // namespace qwt
