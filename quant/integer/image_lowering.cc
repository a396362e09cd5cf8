#include "quant/integer/image_lowering.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/rsqrt.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "models/readers.h"
#include "quant/integer/carrier.h"
#include "quant/integer/fake_step.h"
#include "quant/integer/image_steps.h"
#include "quant/sites.h"

namespace qwt {
namespace {

bool SameCodes(const Carrier& a, const Carrier& b) { return a.scale == b.scale && a.zero == b.zero && a.top == b.top; }

// A convolution that runs as integers, and the nodes after it that its kernel computes too.
struct Convolution {
  int node = -1;
  ProductWeights weights;  // the BatchNorm's factor and shift among them
  Carrier input;
  PixelWindows windows;
  int64_t channels = 0;
  int last = -1;      // the last node
  int residual = -1;  // the value that an addition adds
  Activation activation = Activation::kNone;
};

// Of a block: the values that it makes of which, and what is added to its output.
struct Block {
  int input = 0, output = 0;
  AddedProduct added;
};

class ImageLowering {
 public:
  ImageLowering(const Segment& segment, const SegmentShapes& shapes, const TensorMap& parameters, const QuantPlan& plan,
                const std::vector<Block>& added)
      : segment_(segment),
        shapes_(shapes),
        parameters_(parameters),
        plan_(plan),
        added_(added),
        device_(DeviceOf(parameters)),
        readers_(ReadersOf(segment)),
        done_(segment.nodes.size()) {
    program_.result = static_cast<int>(segment.nodes.size());
    program_.values = program_.result + 1;
  }

  absl::StatusOr<IntegerProgram> Lower() {
    for (size_t i = 0; i < segment_.nodes.size(); ++i) {
      if (!done_[i]) QWT_RETURN_IF_ERROR(Annotate(LowerNode(static_cast<int>(i)), segment_.nodes[i].name));
    }
    return std::move(program_);
  }

 private:
  const Node& At(int index) const { return segment_.nodes[index]; }
  // The node's only reader, where it is this op; else -1.
  int ReaderOf(int index, Op op) const {
    const std::vector<int>& readers = readers_[index + 1];
    return readers.size() == 1 && At(readers[0]).op == op ? readers[0] : -1;
  }

  // sites: of the codes that it makes; none: floats. codes: where they lie, if not in the output.
  void Add(int node, std::vector<int> inputs, int output, StepFunction run, std::vector<std::string> sites = {},
           int codes = -1) {
    program_.steps.push_back({At(node).name, std::move(inputs), output, std::move(run), std::move(sites), codes});
  }

  // Of the block whose output the value is; null: there is nothing to add to it.
  const Block* BlockMaking(int value) const {
    const auto block = std::find_if(added_.begin(), added_.end(), [&](const Block& b) { return b.output == value; });
    return block == added_.end() ? nullptr : &*block;
  }

  // How the layer's input is carried; none where it does not run as integers.
  std::optional<Carrier> LayerCarrier(const Node& node) const {
    const auto weight = plan_.find(WeightSite(node)), input = plan_.find(InputSites(node)[0]);
    if (weight == plan_.end() || weight->second.spec.quantizer != "uniform" || input == plan_.end()) {
      return std::nullopt;
    }
    const std::optional<Carrier> carrier = MakeCarrier(input->second);
    return carrier && carrier->end == 0 ? carrier : std::nullopt;
  }
  std::optional<Carrier> CarrierOf(const Node& node) const {
    if (node.op != Op::kConv2d || node.Attribute("groups") != 1) return std::nullopt;
    const std::optional<Carrier> carrier = LayerCarrier(node);
    // Beyond the image lies the code of 0.
    const bool border = carrier && carrier->zero >= 0 && carrier->zero <= 255;
    return border || node.Attribute("padding") == 0 ? carrier : std::nullopt;
  }

  absl::Status LowerNode(int index) {
    const Node& node = At(index);
    if (const std::optional<Carrier> input = CarrierOf(node)) {
      QWT_ASSIGN_OR_RETURN(Convolution convolution, MakeConvolution(index, *input));
      LowerConvolution(std::move(convolution));
      return absl::OkStatus();
    }
    if (node.op == Op::kLinear && BlockMaking(index + 1) == nullptr) {
      if (const std::optional<Carrier> input = LayerCarrier(node)) return LowerLinear(index, *input);
    }
    StepFunction run;
    if (node.op == Op::kMaxPool) {
      const auto kernel = static_cast<int64_t>(node.Attribute("kernel"));
      run = MaxPoolStep(WindowsOf(node, kernel, shapes_[node.inputs[0]], shapes_[index + 1]));
    } else {
      QWT_ASSIGN_OR_RETURN(run, FakeStep(node, parameters_, plan_, device_));
    }
    const Block* block = BlockMaking(index + 1);
    const int output = block == nullptr ? index + 1 : program_.values++;
    Add(index, node.inputs, output, std::move(run));
    if (block == nullptr) return absl::OkStatus();
    const at::Tensor bias = block->added.bias.view({-1, 1, 1});
    Add(index, {output, LowerAdded(*block)}, index + 1,
        [bias](const std::vector<at::Tensor>& inputs) { return inputs[0] + inputs[1].to(at::kFloat) + bias; });
    return absl::OkStatus();
  }

  absl::Status LowerLinear(int index, const Carrier& input) {
    QWT_ASSIGN_OR_RETURN(const ProductWeights weights, MakeProductWeights(At(index), parameters_, plan_, input));
    const int codes = program_.values++;
    Add(index, At(index).inputs, codes, QuantizeStep(input), InputSites(At(index)));
    Add(index, {codes}, index + 1, ProductStep(weights, shapes_[index + 1], at::Tensor()));
    ++program_.products;
    return absl::OkStatus();
  }

  // What is added to the block's output, float16.
  int LowerAdded(const Block& block) {
    const std::vector<int64_t>&input = shapes_[block.input], &output = shapes_[block.output];
    const int64_t stride = (input[2] + output[2] - 1) / output[2];
    const int value = program_.values++;
    Add(block.output - 1, {block.input}, value, GroupConvolutionStep(block.added.weight, stride));
    return value;
  }

  absl::StatusOr<Convolution> MakeConvolution(int index, const Carrier& input) {
    const Node& node = At(index);
    const at::Tensor& weight = parameters_.at(node.weight);
    Convolution convolution;
    convolution.node = convolution.last = index;
    convolution.input = input;
    convolution.channels = weight.size(1);
    convolution.windows = WindowsOf(node, weight.size(2), shapes_[node.inputs[0]], shapes_[index + 1]);
    QWT_ASSIGN_OR_RETURN(const ProductWeights weights, MakeProductWeights(node, parameters_, plan_, input));
    convolution.weights = ByPixel(weights, weight.size(1), weight.size(2));
    TakeIn(&convolution);
    return convolution;
  }

  // What follows, up to the end of a block to whose output something is added: BatchNorm, the addition of a value that
  // is there already, ReLU.
  void TakeIn(Convolution* convolution) {
    int& last = convolution->last;
    const auto reader = [&](Op op) { return BlockMaking(last + 1) == nullptr ? ReaderOf(last, op) : -1; };
    if (const int norm = reader(Op::kBatchNorm); norm >= 0) {
      const Node& node = At(norm);
      const at::Tensor factor = parameters_.at(node.weight).to(at::kDouble) *
                                at::rsqrt(parameters_.at(node.variance).to(at::kDouble) + node.Attribute("epsilon"));
      const at::Tensor shift = parameters_.at(node.bias) - parameters_.at(node.mean) * factor;
      convolution->weights = Affine(convolution->weights, factor.to(at::kFloat), shift.to(at::kFloat));
      done_[last = norm] = true;
    }
    if (const int add = reader(Op::kAdd); add >= 0) {
      const int other = At(add).inputs[At(add).inputs[0] == last + 1];
      if (other != last + 1 && IsMade(other)) {
        convolution->residual = other;
        done_[last = add] = true;
      }
    }
    if (const int relu = reader(Op::kRelu); relu >= 0) {
      convolution->activation = Activation::kRelu;
      done_[last = relu] = true;
    }
  }

  bool IsMade(int value) const {
    if (value == 0) return true;
    return std::any_of(program_.steps.begin(), program_.steps.end(),
                       [&](const IntegerStep& step) { return step.output == value; });
  }

  // The value as codes: what makes them is added here, or has been.
  int CodesOf(const Convolution& convolution) {
    const int value = At(convolution.node).inputs[0];
    std::vector<std::pair<Carrier, int>>& all = codes_[value];
    for (const auto& [carrier, codes] : all) {
      if (SameCodes(carrier, convolution.input)) return codes;
    }
    const int codes = program_.values++;
    Add(convolution.node, {value}, codes, PixelQuantizeStep(convolution.input), InputSites(At(convolution.node)));
    all.emplace_back(convolution.input, codes);
    return codes;
  }

  // The value's first convolution that runs as integers; null: there is none.
  const Node* FirstConvolution(int value) const {
    for (int reader : readers_[value]) {
      if (CarrierOf(At(reader))) return &At(reader);
    }
    return nullptr;
  }

  // Whether anything reads the value but convolutions as these codes.
  bool IsReadAsFloats(int value, const std::optional<Carrier>& codes) const {
    if (!codes || value == program_.result) return true;
    for (int reader : readers_[value]) {
      const std::optional<Carrier> carrier = CarrierOf(At(reader));
      if (!carrier || !SameCodes(*carrier, *codes)) return true;
    }
    return std::any_of(added_.begin(), added_.end(), [&](const Block& block) { return block.input == value; });
  }

  // The block's compensation is of the residual itself, in groups as the kernel takes them.
  bool MakesAddend(const Convolution& convolution, const Block& block) const {
    const at::Tensor& weight = block.added.weight;
    return convolution.residual == block.input && shapes_[block.input] == shapes_[block.output] &&
           weight.size(1) == kResidualGroup && weight.size(2) == 1 && weight.size(0) % kResidualGroup == 0;
  }

  void LowerConvolution(Convolution convolution) {
    ++program_.products;
    const int value = convolution.last + 1;
    ConvolutionSettings settings;
    std::vector<int> inputs = {CodesOf(convolution)};
    settings.residual = convolution.residual >= 0;
    if (settings.residual) inputs.push_back(convolution.residual);
    if (const Block* block = BlockMaking(value)) {
      settings.addend_bias = block->added.bias;
      if (MakesAddend(convolution, *block)) {
        settings.residual_weight = block->added.weight.view({-1, kResidualGroup}).contiguous();
      } else {
        settings.addend = true;
        inputs.push_back(LowerAdded(*block));
      }
    }
    std::vector<std::string> sites;
    int memory = -1;
    const Node* next = convolution.weights.columns > 4 ? FirstConvolution(value) : nullptr;
    if (next != nullptr) {
      settings.codes = CarrierOf(*next);
      sites = InputSites(*next);
    }
    settings.floats = IsReadAsFloats(value, settings.codes);
    if (settings.codes) {
      codes_[value].emplace_back(*settings.codes, settings.floats ? program_.values++ : value);
      if (settings.floats) {
        memory = codes_[value].back().second;
        Add(convolution.last, {inputs[0]}, memory, CodeMemoryStep(convolution.windows, convolution.weights.columns));
        inputs.push_back(memory);
      }
    }
    settings.weights = std::move(convolution.weights);
    settings.windows = convolution.windows;
    settings.channels = convolution.channels;
    settings.input = convolution.input;
    settings.activation = convolution.activation;
    Add(convolution.last, std::move(inputs), value, ConvolutionStep(settings), std::move(sites), memory);
  }

  const Segment& segment_;
  const SegmentShapes& shapes_;
  const TensorMap& parameters_;
  const QuantPlan& plan_;
  const std::vector<Block>& added_;
  const at::Device device_;
  std::vector<std::vector<int>> readers_;                      // by value
  std::vector<bool> done_;                                     // nodes that need no step of their own
  std::map<int, std::vector<std::pair<Carrier, int>>> codes_;  // by value: how it is carried, and where
  IntegerProgram program_;
};

}  // namespace

bool HoldsImages(const Segment& segment) {
  const std::vector<std::vector<int>> readers = ReadersOf(segment);
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    if (segment.nodes[i].op != Op::kConv2d) continue;
    const std::vector<int>& of = readers[i + 1];
    if (of.size() != 1 || segment.nodes[of[0]].op != Op::kFlattenTokens) return true;
  }
  return false;
}

absl::StatusOr<IntegerProgram> LowerImages(const Segment& segment, const SegmentShapes& shapes,
                                           const TensorMap& parameters, const QuantPlan& plan,
                                           const AddedProduct* added) {
  std::vector<Block> blocks;
  if (added != nullptr) blocks.push_back({0, static_cast<int>(segment.nodes.size()), *added});
  return ImageLowering(segment, shapes, parameters, plan, blocks).Lower();
}

absl::StatusOr<IntegerProgram> LowerImageNetwork(const Graph& graph, const std::vector<SegmentShapes>& shapes,
                                                 const TensorMap& parameters, const QuantPlan& plan,
                                                 const AddedProducts& added) {
  Segment all{graph.name, {}};
  SegmentShapes all_shapes = {shapes[0][0]};
  std::vector<Block> blocks;
  const std::vector<const Segment*> segments = graph.Segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    const int first = static_cast<int>(all.nodes.size());  // the value that the segment reads
    for (Node node : segments[i]->nodes) {
      for (int& input : node.inputs) input += first;
      all.nodes.push_back(std::move(node));
    }
    all_shapes.insert(all_shapes.end(), shapes[i].begin() + 1, shapes[i].end());
    const auto product = added.find(segments[i]->name);
    if (product != added.end()) blocks.push_back({first, static_cast<int>(all.nodes.size()), product->second});
  }
  return ImageLowering(all, all_shapes, parameters, plan, blocks).Lower();
}

}  // namespace qwt
