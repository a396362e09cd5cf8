#include "models/executor.h"

#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/batch_norm.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/gelu.h"
#include "ATen/ops/layer_norm.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/max_pool2d.h"
#include "ATen/ops/relu.h"
#include "ATen/ops/softmax.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "c10/util/Exception.h"
#include "core/base/status.h"
#include "models/shape.h"
#include "models/windows.h"

namespace qwt {
namespace {

// A node with what it computes on. Products see contiguous operands only, so that their kernels, hence their bits, are
// always the same.
struct Call {
  const Node& node;
  const std::vector<at::Tensor>& inputs;
  const TensorMap& parameters;

  const at::Tensor& x() const { return inputs[0]; }
  at::Tensor weight() const { return Parameter(node.weight); }
  at::Tensor bias() const { return node.bias.empty() ? at::Tensor() : Parameter(node.bias); }
  int64_t Integer(const char* key) const { return static_cast<int64_t>(node.Attribute(key)); }
  WindowGrid Grid() const { return {Integer("height"), Integer("width"), Integer("window"), Integer("shift")}; }

  at::Tensor Parameter(const std::string& name) const {
    auto found = parameters.find(name);
    TORCH_CHECK(found != parameters.end(), "there is no parameter '", name, "'");
    return found->second;
  }
};

at::Tensor Conv2d(const Call& call) {
  const int64_t stride = call.Integer("stride"), padding = call.Integer("padding");
  return at::conv2d(call.x().contiguous(), call.weight(), call.bias(), {stride, stride}, {padding, padding}, {1, 1},
                    call.Integer("groups"));
}

at::Tensor BatchNorm(const Call& call) {
  return at::batch_norm(call.x().contiguous(), call.weight(), call.bias(), call.Parameter(call.node.mean),
                        call.Parameter(call.node.variance), /*training=*/false, /*momentum=*/0,
                        call.node.Attribute("epsilon"), /*cudnn_enabled=*/false);
}

at::Tensor MaxPool(const Call& call) {
  const int64_t kernel = call.Integer("kernel"), stride = call.Integer("stride"), padding = call.Integer("padding");
  return at::max_pool2d(call.x().contiguous(), {kernel, kernel}, {stride, stride}, {padding, padding});
}

at::Tensor GlobalAveragePool(const Call& call) { return call.x().mean({2, 3}); }

at::Tensor FlattenTokens(const Call& call) { return call.x().flatten(2).transpose(1, 2).contiguous(); }

at::Tensor PrependToken(const Call& call) {
  const at::Tensor& x = call.x();
  return at::cat({call.weight().expand({x.size(0), 1, x.size(2)}), x}, 1);
}

at::Tensor AddParameter(const Call& call) { return call.x().add(call.weight()); }

at::Tensor MergePatches(const Call& call) {
  return qwt::MergePatches(call.x(), call.Integer("height"), call.Integer("width"));
}

at::Tensor LayerNorm(const Call& call) {
  const at::Tensor weight = call.weight();
  return at::layer_norm(call.x().contiguous(), weight.sizes(), weight, call.bias(), call.node.Attribute("epsilon"));
}

at::Tensor Linear(const Call& call) { return at::linear(call.x().contiguous(), call.weight(), call.bias()); }

at::Tensor SplitWindows(const Call& call) { return qwt::SplitWindows(call.x(), call.Grid()); }

at::Tensor MergeWindows(const Call& call) { return qwt::MergeWindows(call.x(), call.Grid()); }

at::Tensor SplitHeads(const Call& call) {
  const at::Tensor& x = call.x();
  const int64_t heads = call.Integer("heads");
  return x.reshape({x.size(0), x.size(1), 3, heads, x.size(2) / (3 * heads)})
      .select(2, call.Integer("part"))
      .transpose(1, 2)
      .contiguous();
}

at::Tensor Transpose(const Call& call) { return call.x().transpose(-2, -1).contiguous(); }

at::Tensor Matmul(const Call& call) { return at::matmul(call.inputs[0].contiguous(), call.inputs[1].contiguous()); }

at::Tensor Scale(const Call& call) { return call.x().mul(call.node.Attribute("factor")); }

at::Tensor AddRelativePositionBias(const Call& call) {
  const int64_t tokens = call.x().size(2);
  const at::Tensor bias =
      call.weight().index_select(0, RelativePositionIndex(call.Integer("window"), call.x().device()));
  return call.x().add(bias.view({tokens, tokens, -1}).permute({2, 0, 1}).contiguous());
}

at::Tensor AddWindowMask(const Call& call) {
  const at::Tensor mask = WindowMask(call.Grid(), call.x().device()), &x = call.x();
  return x.view({-1, mask.size(0), x.size(1), x.size(2), x.size(3)}).add(mask.unsqueeze(1)).view(x.sizes());
}

at::Tensor Softmax(const Call& call) { return at::softmax(call.x(), -1); }

at::Tensor MergeHeads(const Call& call) { return call.x().transpose(1, 2).flatten(2).contiguous(); }

at::Tensor Gelu(const Call& call) { return at::gelu(call.x(), "none"); }

at::Tensor Relu(const Call& call) { return at::relu(call.x()); }

at::Tensor Add(const Call& call) { return call.inputs[0].add(call.inputs[1]); }

at::Tensor SelectToken(const Call& call) { return call.x().select(1, call.Integer("index")).contiguous(); }

at::Tensor MeanTokens(const Call& call) { return call.x().mean(1); }

at::Tensor Mean(const Call& call) {
  at::Tensor sum = call.x();
  for (size_t i = 1; i < call.inputs.size(); ++i) sum = sum.add(call.inputs[i]);
  return sum.div(static_cast<double>(call.inputs.size()));
}

// In the order of Op.
constexpr struct {
  Op op;
  at::Tensor (*evaluate)(const Call&);
} kFunctions[] = {
    {Op::kConv2d, Conv2d},
    {Op::kBatchNorm, BatchNorm},
    {Op::kMaxPool, MaxPool},
    {Op::kGlobalAveragePool, GlobalAveragePool},
    {Op::kFlattenTokens, FlattenTokens},
    {Op::kPrependToken, PrependToken},
    {Op::kAddParameter, AddParameter},
    {Op::kMergePatches, MergePatches},
    {Op::kLayerNorm, LayerNorm},
    {Op::kLinear, Linear},
    {Op::kSplitWindows, SplitWindows},
    {Op::kMergeWindows, MergeWindows},
    {Op::kSplitHeads, SplitHeads},
    {Op::kTranspose, Transpose},
    {Op::kMatmul, Matmul},
    {Op::kScale, Scale},
    {Op::kAddRelativePositionBias, AddRelativePositionBias},
    {Op::kAddWindowMask, AddWindowMask},
    {Op::kSoftmax, Softmax},
    {Op::kMergeHeads, MergeHeads},
    {Op::kGelu, Gelu},
    {Op::kRelu, Relu},
    {Op::kAdd, Add},
    {Op::kSelectToken, SelectToken},
    {Op::kMeanTokens, MeanTokens},
    {Op::kMean, Mean},
};
static_assert(OnePerOp(kFunctions));

std::string Describe(const Segment& segment, const Node& node, const std::vector<at::Tensor>& inputs) {
  std::vector<std::string> shapes;
  for (const at::Tensor& input : inputs) shapes.push_back(ShapeText(input.sizes()));
  return absl::StrCat("node '", node.name, "' (", OpName(node.op), ") of ", segment.name, " on ",
                      absl::StrJoin(shapes, " and "));
}

class FloatExecutor : public Executor {
 public:
  explicit FloatExecutor(TensorMap parameters) : parameters_(std::move(parameters)) {}

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    return RunNodes(segment, batch, [this](const Node& node, const std::vector<at::Tensor>& inputs) {
      return EvaluateNode(node, inputs, parameters_);
    });
  }

 private:
  const TensorMap parameters_;
};

}  // namespace

absl::StatusOr<at::Tensor> Executor::RunAll(const Graph& graph, const at::Tensor& images) const {
  at::Tensor value = images;
  for (const Segment* segment : graph.Segments()) {
    QWT_ASSIGN_OR_RETURN(value, Run(*segment, value));
  }
  return value;
}

at::Tensor EvaluateNode(const Node& node, const std::vector<at::Tensor>& inputs, const TensorMap& parameters) {
  return kFunctions[static_cast<size_t>(node.op)].evaluate({node, inputs, parameters});
}

absl::StatusOr<at::Tensor> RunNodes(
    const Segment& segment, const at::Tensor& batch,
    const std::function<at::Tensor(const Node& node, const std::vector<at::Tensor>& inputs)>& evaluate) {
  const std::vector<int> last_uses = LastUses(segment);
  std::vector<at::Tensor> values = {batch};
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    const Node& node = segment.nodes[i];
    std::vector<at::Tensor> inputs;
    for (int input : node.inputs) inputs.push_back(values[input]);
    try {
      values.push_back(evaluate(node, inputs));
    } catch (...) {
      return StatusFromCurrentException(Describe(segment, node, inputs));
    }
    for (int input : node.inputs) {
      if (last_uses[input] == static_cast<int>(i)) values[input] = at::Tensor();
    }
  }
  return values.back();
}

std::vector<int> LastUses(const Segment& segment) {
  std::vector<int> last_uses(segment.nodes.size() + 1, -1);
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    for (int input : segment.nodes[i].inputs) last_uses[input] = static_cast<int>(i);
  }
  return last_uses;
}

std::unique_ptr<Executor> MakeFloatExecutor(TensorMap parameters) {
  return std::make_unique<FloatExecutor>(std::move(parameters));
}

absl::StatusOr<at::Tensor> RunGraph(const Graph& graph, const Executor& executor, const at::Tensor& images) {
  if (images.dim() != 4 || images.size(1) != graph.channels || images.size(2) != graph.height ||
      images.size(3) != graph.width) {
    return absl::InvalidArgumentError(absl::StrCat("the images are ", ShapeText(images.sizes()), ", ", graph.name,
                                                   " takes [N, ", graph.channels, ", ", graph.height, ", ", graph.width,
                                                   "]"));
  }
  return executor.RunAll(graph, images);
}

}  // namespace qwt
