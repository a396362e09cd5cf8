#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/item.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/zeros.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "models/readers.h"
#include "models/windows.h"
#include "quant/integer/attention_match.h"
#include "quant/integer/carrier.h"
#include "quant/integer/fake_step.h"
#include "quant/integer/image_lowering.h"
#include "quant/integer/program.h"
#include "quant/integer/steps.h"
#include "quant/sites.h"

namespace qwt {
namespace {

constexpr int64_t kMostNormChannels = 4096;

// A layer that runs as an integer product.
struct Product {
  Carrier input;
  ProductWeights weights;
  std::pair<int, int> norm;  // NormOf
};

class Lowering {
 public:
  Lowering(const Segment& segment, const SegmentShapes& shapes, const TensorMap& parameters, const QuantPlan& plan,
           const AddedProduct* added)
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
    QWT_RETURN_IF_ERROR(FindProducts());
    FindAttentions();
    FindSelected();
    for (size_t i = 0; i < segment_.nodes.size(); ++i) {
      if (!done_[i]) QWT_RETURN_IF_ERROR(Annotate(LowerNode(static_cast<int>(i)), segment_.nodes[i].name));
    }
    if (added_ != nullptr) AddProduct();
    return std::move(program_);
  }

 private:
  const Node& At(int index) const { return segment_.nodes[index]; }
  bool Is(int index, Op op) const { return index >= 0 && At(index).op == op; }
  // The node's only reader, -1 where there are more or none, or the value is the segment's output.
  int Reader(int index) const { return readers_[index + 1].size() == 1 ? readers_[index + 1][0] : -1; }
  int ReaderOf(int index, Op op) const { return Is(Reader(index), op) ? Reader(index) : -1; }

  std::optional<Carrier> InputCarrier(const Node& node) const {
    const auto site = plan_.find(InputSites(node)[0]);
    return site == plan_.end() ? std::nullopt : MakeCarrier(site->second);
  }
  bool IsProduct(int index) const { return products_.count(index) > 0; }

  // The LayerNorm whose output only this linear reads, if need be window by window, and what splits the windows; -1.
  std::pair<int, int> NormOf(int index) const {
    int producer = At(index).inputs[0] - 1, windows = -1;
    if (Is(producer, Op::kSplitWindows) && Reader(producer) == index) {
      windows = producer;
      producer = At(windows).inputs[0] - 1;
    }
    const bool alone = Is(producer, Op::kLayerNorm) && Reader(producer) == (windows < 0 ? index : windows);
    const int64_t channels = alone ? shapes_[producer + 1].back() : 0;
    if (!alone || channels % 4 != 0 || channels > kMostNormChannels) return {-1, -1};
    return {producer, windows};
  }

  // Linears and convolutions of patches that can run as integer products.
  absl::Status FindProducts() {
    for (size_t i = 0; i < segment_.nodes.size(); ++i) {
      const int index = static_cast<int>(i);
      const Node& node = At(index);
      const bool patches =
          node.op == Op::kConv2d && node.Attribute("groups") == 1 && ReaderOf(index, Op::kFlattenTokens) >= 0;
      if (node.op != Op::kLinear && !patches) continue;
      const auto weight = plan_.find(WeightSite(node));
      const std::optional<Carrier> input = InputCarrier(node);
      if (weight == plan_.end() || weight->second.spec.quantizer != "uniform" || !input) continue;
      Product product{*input, {}, node.op == Op::kLinear ? NormOf(index) : std::pair(-1, -1)};
      if (input->end != 0 && product.norm.first < 0) continue;
      QWT_ASSIGN_OR_RETURN(product.weights, MakeProductWeights(node, parameters_, plan_, *input));
      for (int read : {product.norm.first, product.norm.second}) {
        if (read >= 0) done_[read] = true;
      }
      products_.emplace(index, std::move(product));
    }
    return absl::OkStatus();
  }

  void FindAttentions() {
    for (AttentionMatch& match : MatchAttention(segment_, shapes_, plan_)) {
      const int reader = ReaderOf(match.merge, Op::kLinear);
      if (reader < 0 || !IsProduct(reader) || !IsProduct(match.qkv)) continue;
      for (int node : match.between) done_[node] = true;
      attentions_.push_back(match);
    }
  }

  // LayerNorms of which only single tokens are read: the tokens are taken first.
  void FindSelected() {
    for (size_t i = 0; i < segment_.nodes.size(); ++i) {
      const std::vector<int>& readers = readers_[i + 1];
      if (At(static_cast<int>(i)).op != Op::kLayerNorm || readers.empty()) continue;
      if (std::all_of(readers.begin(), readers.end(), [&](int reader) { return Is(reader, Op::kSelectToken); })) {
        done_[i] = true;
      }
    }
  }

  // sites: of the codes that it makes; none: floats.
  void Add(int node, std::vector<int> inputs, int output, StepFunction run, std::vector<std::string> sites = {}) {
    program_.steps.push_back({At(node).name, std::move(inputs), output, std::move(run), std::move(sites)});
  }

  absl::Status LowerNode(int index) {
    if (IsProduct(index)) return LowerProduct(index);
    for (const AttentionMatch& match : attentions_) {
      if (match.merge == index) return LowerAttention(match);
    }
    QWT_ASSIGN_OR_RETURN(StepFunction run, FakeStep(At(index), parameters_, plan_, device_));
    const int norm = At(index).op == Op::kSelectToken ? At(index).inputs[0] - 1 : -1;
    if (!Is(norm, Op::kLayerNorm)) {
      Add(index, At(index).inputs, index + 1, std::move(run));
      return absl::OkStatus();
    }
    QWT_ASSIGN_OR_RETURN(StepFunction normalize, FakeStep(At(norm), parameters_, plan_, device_));
    Add(index, At(norm).inputs, index + 1,
        [=](const std::vector<at::Tensor>& inputs) { return normalize({run(inputs)}); });
    return absl::OkStatus();
  }

  // The value of the product's input as codes: what makes them is added here, or has been.
  int LowerInput(int index, const Product& product) {
    const Node& node = At(index);
    const auto [norm, windows] = product.norm;
    const std::string site = InputSites(node)[0];
    if (norm >= 0) {
      const Node& layer_norm = At(norm);
      std::vector<int> inputs = layer_norm.inputs;
      if (inputs[0] == 0 && added_ != nullptr && half_ < 0 && device_.is_cuda()) {
        half_ = program_.values++;
        program_.steps.push_back({segment_.name + " compensation", {0}, half_, HalfMemoryStep()});
        inputs.push_back(half_);
      }
      Add(norm, inputs, node.inputs[0],
          NormQuantizeStep(layer_norm, parameters_.at(layer_norm.weight), parameters_.at(layer_norm.bias),
                           product.input, windows < 0 ? at::Tensor() : WindowRows(At(windows), device_)),
          {site});
      return node.inputs[0];
    }
    if (codes_.count(node.inputs[0])) return node.inputs[0];
    const int value = program_.values++;
    if (node.op == Op::kConv2d) {
      const at::Tensor& weight = parameters_.at(node.weight);
      Add(index, node.inputs, value, PatchQuantizeStep(node, weight.sizes().vec(), shapes_[index + 1], product.input),
          {site});
    } else {
      Add(index, node.inputs, value, QuantizeStep(product.input), {site});
    }
    return value;
  }

  absl::Status LowerProduct(int index) {
    const Product& product = products_.at(index);
    const ProductWeights& weights = product.weights;
    const int input = LowerInput(index, product);
    ++program_.products;
    for (const AttentionMatch& match : attentions_) {
      if (match.qkv != index) continue;
      codes_.insert(index + 1);
      Add(index, {input}, index + 1, ProductToCodesStep(weights, Activation::kNone, QkvCarriers(match)),
          {InputSites(At(match.matmul1))[0], InputSites(At(match.matmul1))[1], InputSites(At(match.matmul2))[1]});
      return absl::OkStatus();
    }
    const int activation = std::max(ReaderOf(index, Op::kGelu), ReaderOf(index, Op::kRelu));
    const int next = activation < 0 ? -1 : ReaderOf(activation, Op::kLinear);
    if (next >= 0 && IsProduct(next)) {
      done_[activation] = true;
      codes_.insert(activation + 1);
      Add(activation, {input}, activation + 1,
          ProductToCodesStep(weights, At(activation).op == Op::kGelu ? Activation::kGelu : Activation::kRelu,
                             {*InputCarrier(At(next))}),
          InputSites(At(next)));
      return absl::OkStatus();
    }
    LowerFloats(index, input, weights);
    return absl::OkStatus();
  }

  // A product whose output is floats, with what follows it: tokens put in order, a residual added.
  void LowerFloats(int index, int input, const ProductWeights& weights) {
    std::vector<int> inputs = {input};
    int output = index;
    at::Tensor rows;
    if (At(index).op == Op::kConv2d) {
      output = ReaderOf(index, Op::kFlattenTokens);
      done_[output] = true;
      if (LowerTokens(output, input, weights)) return;
    }
    const int windows = ReaderOf(output, Op::kMergeWindows);
    if (windows >= 0) {
      output = windows;
      done_[windows] = true;
      rows = WindowRows(At(windows), device_);
    }
    const int add = ReaderOf(output, Op::kAdd);
    if (add >= 0) {
      const int residual = At(add).inputs[At(add).inputs[0] == output + 1];
      if (residual <= index && !codes_.count(residual)) {
        inputs.push_back(residual);
        output = add;
        done_[add] = true;
      }
    }
    const bool last = output + 1 == program_.result;
    ProductWeights with_bias = weights;
    int addend = -1;
    if (last && inputs.size() == 2 && added_ != nullptr) {
      addend = LowerAdded();
      inputs.push_back(addend);
      with_bias.bias = weights.bias + added_->bias;
      added_ = nullptr;
    }
    Add(output, inputs, output + 1, ProductStep(with_bias, shapes_[output + 1], rows));
  }

  // Patches' product with what follows it in a vision transformer: tokens in front, positions' embedding. Whether it
  // does.
  bool LowerTokens(int flatten, int input, const ProductWeights& weights) {
    int last = flatten, next;
    std::vector<at::Tensor> tokens;
    for (; (next = ReaderOf(last, Op::kPrependToken)) >= 0; last = next) {
      tokens.insert(tokens.begin(), parameters_.at(At(next).weight).view({1, -1}));
    }
    const int position = ReaderOf(last, Op::kAddParameter);
    if (position < 0) return false;
    for (int node = flatten; node != position; node = Reader(node)) done_[node] = true;
    done_[position] = true;
    const at::Tensor embedding = parameters_.at(At(position).weight)[0];
    const int64_t front = static_cast<int64_t>(tokens.size()), patches = embedding.size(0) - front;
    tokens.push_back(at::zeros({patches, embedding.size(1)}, embedding.options()));
    Add(position, {input}, position + 1, TokensStep(weights, patches, at::cat(tokens) + embedding));
    return true;
  }

  // The product of the segment's input that is added to its output, float16.
  int LowerAdded() {
    const int value = program_.values++;
    const at::Tensor weight = added_->weight;
    program_.steps.push_back(
        {segment_.name + " compensation", {std::max(half_, 0)}, value, [weight](const std::vector<at::Tensor>& inputs) {
           return at::matmul(inputs[0].to(weight.scalar_type()), weight);
         }});
    return value;
  }

  // Where the last step could not take it in.
  void AddProduct() {
    const int output = program_.result, addend = LowerAdded();
    const at::Tensor bias = added_->bias;
    program_.result = program_.values++;
    program_.steps.push_back(
        {segment_.name + " compensated",
         {output, addend},
         program_.result,
         [bias](const std::vector<at::Tensor>& inputs) { return inputs[0] + inputs[1].to(at::kFloat) + bias; }});
  }

  const SiteQuantization& OperandSite(int matmul, int operand) const {
    return plan_.at(InputSites(At(matmul))[operand]);
  }

  std::vector<Carrier> QkvCarriers(const AttentionMatch& match) const {
    Carrier query = *MakeCarrier(OperandSite(match.matmul1, 0));
    query.inverse_scale = static_cast<float>(query.inverse_scale * match.query_factor);
    return {query, *MakeCarrier(OperandSite(match.matmul1, 1)), *MakeCarrier(OperandSite(match.matmul2, 1))};
  }

  absl::Status LowerAttention(const AttentionMatch& match) {
    AttentionSettings settings;
    AttentionArguments& arguments = settings.arguments;
    const std::vector<int64_t>& value = shapes_[At(match.matmul2).inputs[1]];  // [N, H, T, D]
    arguments.heads = value[1];
    arguments.tokens = value[2];
    arguments.head_width = value[3];
    const std::vector<Carrier> carriers = QkvCarriers(match);
    arguments.query_zero = carriers[0].zero;
    arguments.key_zero = carriers[1].zero;
    arguments.value_zero = carriers[2].zero;
    arguments.value_unit = carriers[2].scale;
    arguments.score_scale =
        static_cast<float>(static_cast<double>(carriers[0].scale) * carriers[1].scale * match.score_factor);
    const SiteQuantization& softmax = OperandSite(match.matmul2, 0);
    arguments.log_sqrt2 = softmax.spec.quantizer == "log_sqrt2";
    if (arguments.log_sqrt2) {
      arguments.log_scale = softmax.scale.item<float>();
      arguments.log_floor = static_cast<float>(softmax.spec.log_floor);
      arguments.zero_code = std::min(1 << softmax.spec.bits, 255);
    } else {
      arguments.uniform = *MakeCarrier(softmax);
    }
    if (match.bias >= 0) {
      const int64_t window = static_cast<int64_t>(At(match.bias).Attribute("window"));
      settings.bias = parameters_.at(At(match.bias).weight)
                          .index_select(0, RelativePositionIndex(window, device_))
                          .view({arguments.tokens, arguments.tokens, arguments.heads})
                          .permute({2, 0, 1})
                          .contiguous();
    }
    if (match.mask >= 0) settings.mask = MaskOf(At(match.mask));
    arguments.carrier = *InputCarrier(At(Reader(match.merge)));
    codes_.insert(match.merge + 1);
    Add(match.merge, {match.qkv + 1}, match.merge + 1, AttentionStep(settings), InputSites(At(Reader(match.merge))));
    ++program_.products;
    return absl::OkStatus();
  }

  at::Tensor MaskOf(const Node& mask) const {
    const auto get = [&](const char* key) { return static_cast<int64_t>(mask.Attribute(key)); };
    return WindowMask({get("height"), get("width"), get("window"), get("shift")}, device_).contiguous();
  }

  const Segment& segment_;
  const SegmentShapes& shapes_;
  const TensorMap& parameters_;
  const QuantPlan& plan_;
  const AddedProduct* added_;  // until a step adds it
  const at::Device device_;
  std::vector<std::vector<int>> readers_;  // by value
  std::vector<bool> done_;                 // nodes that need no step of their own
  std::vector<AttentionMatch> attentions_;
  std::map<int, Product> products_;
  std::set<int> codes_;  // values that are codes for their only reader
  int half_ = -1;        // the segment's input as float16, made beside codes of its LayerNorm; -1: it is not
  IntegerProgram program_;
};

}  // namespace

absl::StatusOr<IntegerProgram> LowerSegment(const Segment& segment, const SegmentShapes& shapes,
                                            const TensorMap& parameters, const QuantPlan& plan,
                                            const AddedProduct* added) {
  if (HoldsImages(segment)) return LowerImages(segment, shapes, parameters, plan, added);
  return Lowering(segment, shapes, parameters, plan, added).Lower();
}

}  // namespace qwt
