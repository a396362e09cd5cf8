#include "tests/helpers/code_comparison.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/im2col.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "models/cost.h"
#include "models/executor.h"
#include "quant/integer/kernels/kernels.h"
#include "quant/integer/product_weights.h"
#include "quant/integer/program.h"
#include "quant/quantizer.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"

namespace qwt {
namespace {

double EdgeWidth(int bits) { return 1e-4 * std::max(1, 1 << bits >> 6); }

constexpr double kMostDiffering = 1e-3, kMostOutputError = 1e-4;

at::Tensor Exact(const at::Tensor& x) { return x.to(at::kDouble); }

// x as the site's codes, then values again; x: float64.
at::Tensor Requantized(const at::Tensor& x, const std::string& name, const SiteQuantization& site) {
  if (site.spec.quantizer != "uniform")
    return Exact(SiteQuantizer::Make(name, site, x.device())->Apply(x.to(at::kFloat)));
  const auto shaped = [&](const at::Tensor& values) {
    return Exact(AsChannelsOf(x, values.to(x.device()), site.spec));
  };
  const at::Tensor scale = shaped(site.scale), zero_point = shaped(site.zero_point);
  return ((x / scale).round().add(zero_point).clamp(0, (1 << site.spec.bits) - 1) - zero_point) * scale;
}

TensorMap ExactParameters(const Graph& graph, const TensorMap& parameters, const QuantPlan& plan) {
  TensorMap result;
  for (const auto& [name, parameter] : parameters) result[name] = Exact(parameter);
  for (const Site& site : QuantSites(graph)) {
    if (site.role != SiteRole::kWeight || plan.count(site.name) == 0) continue;
    const SiteQuantization& quantization = plan.at(site.name);
    const at::Tensor& weight = parameters.at(site.node->weight);
    const auto codes = (*MakeQuantizer(quantization.spec.quantizer))->Codes(weight.cpu(), quantization);
    const at::Tensor steps = Exact(*codes) - AsChannelsOf(weight, Exact(quantization.zero_point), quantization.spec);
    result[site.node->weight] =
        (steps * AsChannelsOf(weight, Exact(quantization.scale), quantization.spec)).to(weight.device());
  }
  return result;
}

// What the fake quantiser computes of a segment, in float64.
struct FakeRun {
  std::map<std::string, at::Tensor> values;  // by site, before they are quantised
  at::Tensor output;
};

FakeRun RunFake(const Segment& segment, const TensorMap& quantized_weights, const QuantPlan& plan,
                const at::Tensor& input) {
  FakeRun run;
  const auto output = RunNodes(segment, input, [&](const Node& node, const std::vector<at::Tensor>& inputs) {
    std::vector<at::Tensor> quantized = inputs;
    const std::vector<std::string> sites = InputSites(node);
    for (size_t i = 0; i < sites.size(); ++i) {
      const auto site = plan.find(sites[i]);
      if (site == plan.end()) continue;
      run.values[sites[i]] = inputs[i];
      quantized[i] = Requantized(inputs[i], site->first, site->second);
    }
    return EvaluateNode(node, quantized, quantized_weights);
  });
  EXPECT_TRUE(output.ok()) << output.status();
  if (output.ok()) run.output = *output;
  return run;
}

const Node* NodeNamed(const Segment& segment, const std::string& name) {
  for (const Node& node : segment.nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

// The node whose operand the site is.
const Node* NodeOf(const Segment& segment, const std::string& site) {
  for (const Node& node : segment.nodes) {
    const std::vector<std::string> sites = InputSites(node);
    if (std::find(sites.begin(), sites.end(), site) != sites.end()) return &node;
  }
  return nullptr;
}

// A site's values as the rows of codes that the program has of them: [rows, columns].
at::Tensor AsRows(const Segment& segment, const TensorMap& parameters, const std::string& site, const at::Tensor& x,
                  int64_t rows) {
  const Node& node = *NodeOf(segment, site);
  if (node.op == Op::kMatmul) {  // [N, H, T, D], or a key's [N, H, D, T]
    const int operand = InputSites(node)[1] == site ? 1 : 0;
    const int producer = node.inputs[operand] - 1;
    const bool key = producer >= 0 && segment.nodes[producer].op == Op::kTranspose;
    const at::Tensor tokens = key ? x.permute({0, 3, 1, 2}) : x.permute({0, 2, 1, 3});
    return tokens.reshape({tokens.size(0) * tokens.size(1), -1});
  }
  if (node.op != Op::kConv2d) return x.reshape({-1, x.size(-1)});
  if (rows == x.numel() / x.size(1)) return x.permute({0, 2, 3, 1}).reshape({rows, -1});  // pixel by pixel
  const int64_t kernel = parameters.at(node.weight).size(2);
  const auto padding = static_cast<int64_t>(node.Attribute("padding"));
  const auto stride = static_cast<int64_t>(node.Attribute("stride"));
  const at::Tensor patches = at::im2col(x, {kernel, kernel}, {1, 1}, {padding, padding}, {stride, stride});
  return patches.transpose(1, 2).reshape({-1, patches.size(1)});
}

// Which of a site's values lie on an edge.
at::Tensor OnEdge(const at::Tensor& values, const SiteQuantization& site) {
  const at::Tensor zero_point = site.zero_point.to(values.device());
  const SiteQuantization there = {site.spec, site.scale.to(values.device()), zero_point};
  const at::Tensor positions = (*MakeQuantizer(site.spec.quantizer))->Positions(values, there);
  const at::Tensor steps = positions - Exact(zero_point);
  return (steps - steps.floor() - 0.5).abs().lt(EdgeWidth(site.spec.bits));
}

// The carriers that values of a uniform site have (kernels/kernels.h), and which of them are ends; undefined where none
// can be.
struct ExpectedCodes {
  at::Tensor codes, ends;
};

ExpectedCodes Expect(const at::Tensor& values, const SiteQuantization& site) {
  const float zero_point = site.zero_point.item<float>();
  const int top = (1 << site.spec.bits) - 1;
  const at::Tensor rounded = (values / Exact(site.scale).to(values.device())).round();
  ExpectedCodes expected{(rounded + std::nearbyint(zero_point)).clamp(0, top).to(at::kByte), at::Tensor()};
  if (zero_point == std::nearbyint(zero_point)) return expected;
  const at::Tensor clamped = rounded + zero_point;
  expected.ends = clamped.le(0).logical_or(clamped.ge(top));
  return expected;
}

// Where the bits are that say which of a row's codes are ends: bytes behind the codes, and in each the bit's value.
struct EndPlaces {
  at::Tensor bytes, values;  // int64 and uint8, [columns]
};

EndPlaces PlacesOf(int64_t columns, at::Device device) {
  EndPlaces places{at::empty({columns}, at::kLong), at::empty({columns}, at::kByte)};
  for (int64_t c = 0; c < columns; ++c) {
    places.bytes.mutable_data_ptr<int64_t>()[c] = CodePitch(columns) + EndWord(c) * 4 + EndBit(c) / 8;
    places.values.mutable_data_ptr<uint8_t>()[c] = static_cast<uint8_t>(1 << EndBit(c) % 8);
  }
  return {places.bytes.to(device), places.values.to(device)};
}

at::Tensor EndsOf(const at::Tensor& made, const EndPlaces& places) {
  return made.index_select(1, places.bytes).bitwise_and(places.values).ne(0);
}

void SetEnds(const at::Tensor& made, const at::Tensor& ends, const EndPlaces& places) {
  made.narrow(1, CodePitch(ends.size(1)), made.size(1) - CodePitch(ends.size(1))).zero_();
  made.index_add_(1, places.bytes, ends.to(at::kByte) * places.values);
}

int64_t Count(const at::Tensor& x) { return x.sum().item<int64_t>(); }

class Comparison {
 public:
  Comparison(const Segment& segment, const TensorMap& parameters, const QuantPlan& plan, const FakeRun& fake)
      : segment_(segment), parameters_(parameters), plan_(plan), fake_(fake) {}

  void Observe(const IntegerStep& step, const at::Tensor& made) {
    const at::Tensor left_out = step.sites.empty() ? at::Tensor() : QueriesOnEdge(step);
    int64_t first = 0;
    for (const std::string& site : step.sites) {
      const auto rows = [&](const at::Tensor& x) { return AsRows(segment_, parameters_, site, x, made.size(0)); };
      const SiteQuantization& quantization = plan_.at(site);
      const ExpectedCodes expected = Expect(rows(fake_.values.at(site)), quantization);
      const at::Tensor codes = made.narrow(1, first, expected.codes.size(1));
      Compare(site, expected, rows(OnEdge(fake_.values.at(site), quantization)), left_out, made, codes);
      codes.copy_(expected.codes);
      if (expected.ends.defined()) SetEnds(made, expected.ends, PlacesOf(codes.size(1), made.device()));
      first += codes.size(1);
    }
  }

  std::vector<SiteComparison> sites() const { return sites_; }

 private:
  // Of the step's output, bool [rows, columns]: what is the sum of probabilities of which one lies on an edge;
  // undefined for all steps but attentions.
  at::Tensor QueriesOnEdge(const IntegerStep& step) const {
    const Node* merge = NodeNamed(segment_, step.name);
    if (merge == nullptr || merge->op != Op::kMergeHeads) return at::Tensor();
    const std::vector<std::string> operands = InputSites(segment_.nodes[merge->inputs[0] - 1]);
    const at::Tensor edges = OnEdge(fake_.values.at(operands[0]), plan_.at(operands[0]));  // [N, H, T, T]
    const at::Tensor queries = edges.any(-1).transpose(1, 2).unsqueeze(-1);                // [N, T, H, 1]
    const int64_t width = fake_.values.at(operands[1]).size(3);
    return queries.expand({-1, -1, -1, width}).reshape({queries.size(0) * queries.size(1), -1});
  }

  // made: the step's output, of which `codes` are the columns of this site.
  void Compare(const std::string& site, const ExpectedCodes& expected, const at::Tensor& edges,
               const at::Tensor& left_out, const at::Tensor& made, const at::Tensor& codes) {
    const at::Tensor apart = (codes.to(at::kInt) - expected.codes.to(at::kInt)).abs();
    at::Tensor differs = apart.ne(0);
    if (expected.ends.defined())
      differs = differs.logical_or(EndsOf(made, PlacesOf(codes.size(1), made.device())).ne(expected.ends));
    SiteComparison result{site, differs.numel()};
    if (left_out.defined()) {
      result.left_out = Count(left_out);
      result.elements -= result.left_out;
      differs = differs.logical_and(left_out.logical_not());
    }
    result.differing = Count(differs);
    result.unexplained = Count(differs.logical_and(edges.logical_and(apart.le(1)).logical_not()));
    sites_.push_back(result);
  }

  const Segment& segment_;
  const TensorMap& parameters_;
  const QuantPlan& plan_;
  const FakeRun& fake_;
  std::vector<SiteComparison> sites_;
};

std::string Describe(const SiteComparison& site) {
  return absl::StrCat(site.site, ": ", site.elements, " codes compared, ", site.left_out, " left out, ", site.differing,
                      " differ, ", site.unexplained, " of them off an edge");
}

}  // namespace

std::vector<SegmentComparison> CompareCodes(const Graph& graph, const TensorMap& parameters, const QuantPlan& plan,
                                            const at::Tensor& images, const std::vector<std::string>& only) {
  const TensorMap exact = ExactParameters(graph, parameters, plan);
  const auto shapes = *InferShapes(graph, 1);
  const std::vector<const Segment*> segments = graph.Segments();
  std::vector<SegmentComparison> results;
  at::Tensor value = images;
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = *segments[i];
    const FakeRun fake = RunFake(segment, exact, plan, Exact(value));
    if (!fake.output.defined()) return results;
    if (only.empty() || std::find(only.begin(), only.end(), segment.name) != only.end()) {
      const auto program = LowerSegment(segment, shapes[i], parameters, plan, nullptr);
      EXPECT_TRUE(program.ok()) << program.status();
      if (!program.ok()) return results;
      Comparison comparison(segment, parameters, plan, fake);
      const auto found =
          program->Run(value, [&](const IntegerStep& step, const at::Tensor& made) { comparison.Observe(step, made); });
      EXPECT_TRUE(found.ok()) << found.status();
      if (!found.ok()) return results;
      const at::Tensor error = (*found - fake.output).abs().max() / fake.output.std();
      results.push_back({segment.name, comparison.sites(), error.item<double>()});
    }
    value = fake.output.to(at::kFloat);
  }
  return results;
}

void ExpectSameCodes(const std::vector<SegmentComparison>& segments) {
  for (const SegmentComparison& segment : segments) {
    SCOPED_TRACE(segment.segment);
    int64_t elements = 0, differing = 0;
    for (const SiteComparison& site : segment.sites) {
      EXPECT_EQ(site.unexplained, 0) << Describe(site);
      EXPECT_GE(site.elements, site.left_out) << Describe(site);
      elements += site.elements;
      differing += site.differing;
    }
    EXPECT_LE(differing, kMostDiffering * elements) << "of " << elements << " codes";
    EXPECT_LE(segment.output_error, kMostOutputError);
  }
}

}  // namespace qwt
