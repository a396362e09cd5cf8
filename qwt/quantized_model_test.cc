#include "qwt/quantized_model.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/zeros.h"
#include "core/base/files.h"
#include "core/config/node.h"
#include "gtest/gtest.h"
#include "models/cost.h"
#include "models/registry.h"
#include "models/vit/vit.h"
#include "quant/fake_quant_executor.h"
#include "quant/method.h"
#include "quant/sites.h"
#include "tests/helpers/component.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

std::string BitsOf(const GoldenNetwork& network) {
  return "{weight_bits: " + std::to_string(network.weight_bits) +
         ", activation_bits: " + std::to_string(network.activation_bits) + "}";
}

// The quantised network as the method leaves it.
QuantizedModel Quantize(const GoldenNetwork& network) { return QuantizeGolden(network, "repq_vit", BitsOf(network)); }

// In place and without waiting for the disk.
void Overwrite(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string Path(const std::string& name) { return ::testing::TempDir() + name; }

// vit_w4a4 quantised by repq_vit, with all blocks but the first compensated.
class QuantizedModelTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    network_ = new GoldenNetwork(LoadGoldenNetwork("vit_w4a4"));
    model_ = new QuantizedModel(Quantize(*network_));
    FitGolden(*network_, "linear", "{start_block: 1}", model_);
    model_->provenance = {{"config_sha256", "abc"}, {"note", "two\nlines"}};
  }
  static void TearDownTestSuite() {
    delete model_;
    delete network_;
  }

  // The saved model's file.
  static std::string Saved() {
    const std::string path = Path("model.safetensors");
    EXPECT_EQ(SaveQuantizedModel(path, *model_), absl::OkStatus());
    return *ReadFile(path);
  }

  // What loading this content says.
  static absl::Status LoadStatus(const std::string& content, const std::string& path = Path("other.safetensors")) {
    Overwrite(path, content);
    return LoadQuantizedModel(path).status();
  }

  static GoldenNetwork* network_;
  static QuantizedModel* model_;
};

GoldenNetwork* QuantizedModelTest::network_ = nullptr;
QuantizedModel* QuantizedModelTest::model_ = nullptr;

TEST_F(QuantizedModelTest, ComesBackWithTheSamePredictionsToTheLastBit) {
  const std::string content = Saved();
  const auto loaded = LoadQuantizedModel(Path("model.safetensors"));
  ASSERT_EQ(loaded.status(), absl::OkStatus());
  for (bool compensated : {false, true}) {
    EXPECT_TRUE(at::equal(Logits(*loaded, compensated, network_->evaluation),
                          Logits(*model_, compensated, network_->evaluation)));
    EXPECT_EQ(QuantizedSizeMb(*loaded, compensated), QuantizedSizeMb(*model_, compensated));
  }
  EXPECT_EQ(GraphToJson(loaded->graph), GraphToJson(model_->graph));
  EXPECT_EQ(loaded->compensator, "linear");
  EXPECT_EQ(loaded->provenance, model_->provenance);
  ASSERT_EQ(loaded->compensation.size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(loaded->compensation[i].block, model_->compensation[i].block);
    EXPECT_EQ(loaded->compensation[i].reason, model_->compensation[i].reason);
    EXPECT_EQ(loaded->compensation[i].r2, model_->compensation[i].r2);
  }
  // Saved again it is the same file: nothing was lost or rounded.
  ASSERT_EQ(SaveQuantizedModel(Path("again.safetensors"), *loaded), absl::OkStatus());
  EXPECT_TRUE(*ReadFile(Path("again.safetensors")) == content);
}

TEST_F(QuantizedModelTest, StoresCodes) {
  Saved();
  const auto file = ReadSafetensors(Path("model.safetensors"));
  ASSERT_EQ(file.status(), absl::OkStatus());
  const at::Tensor& codes = file->tensors.at("codes/blocks.0.attn.qkv.weight");
  EXPECT_EQ(codes.scalar_type(), at::kByte);
  EXPECT_EQ(codes.sizes(), at::IntArrayRef({144 * 48 / 2}));  // two a byte
  const at::Tensor& border = file->tensors.at("codes/head.weight");
  EXPECT_EQ(border.sizes(), at::IntArrayRef({10 * 48}));
  EXPECT_EQ(border.max().item<int>(), 255);
  EXPECT_EQ(file->tensors.count("parameters/blocks.0.attn.qkv.weight"), 0);
  EXPECT_EQ(file->tensors.at("parameters/pos_embed").scalar_type(), at::kFloat);
}

TEST_F(QuantizedModelTest, ALoadedModelDoesNotFollowItsFile) {
  const std::string path = Path("overwritten.safetensors");
  Overwrite(path, Saved());
  const auto loaded = LoadQuantizedModel(path);
  ASSERT_EQ(loaded.status(), absl::OkStatus());
  Overwrite(path, std::string((*ReadFile(path)).size(), 'x'));
  EXPECT_TRUE(at::equal(Logits(*loaded, true, network_->evaluation), Logits(*model_, true, network_->evaluation)));
}

TEST_F(QuantizedModelTest, WithoutPlanAndCompensationIsTheFloatNetwork) {
  QuantizedModel model;
  model.graph = network_->graph;
  model.parameters = network_->parameters;
  ASSERT_EQ(SaveQuantizedModel(Path("plain.safetensors"), model), absl::OkStatus());
  const auto loaded = LoadQuantizedModel(Path("plain.safetensors"));
  ASSERT_EQ(loaded.status(), absl::OkStatus());
  const auto expected = RunGraph(model.graph, *MakeFloatExecutor(model.parameters), network_->evaluation);
  EXPECT_TRUE(at::equal(Logits(*loaded, false, network_->evaluation), *expected));
  EXPECT_EQ(QuantizedSizeMb(*loaded, false), FloatSizeMb(model.graph));
  EXPECT_EQ(MakeQuantizedExecutor(*loaded, true).status(),
            absl::FailedPreconditionError("the model has no compensation"));
}

TEST_F(QuantizedModelTest, BlocksAreCompensatedAsTheirSolutionsSay) {
  const auto quantized = *MakeQuantizedExecutor(*model_, false), compensated = *MakeQuantizedExecutor(*model_, true);
  const auto fake = *MakeFakeQuantExecutor(model_->graph, model_->parameters, model_->plan);
  const auto linear = MakeComponent<CompensatorRegistry>("linear", "{}");
  at::Tensor x = *fake->Run(model_->graph.stem, network_->evaluation);
  EXPECT_TRUE(at::equal(*compensated->Run(model_->graph.stem, network_->evaluation), x));
  for (int i = 0; i < 3; ++i) {
    const Segment& block = model_->graph.blocks[i];
    const BlockSolution& solution = model_->compensation[i];
    EXPECT_EQ(solution.kept, i >= 1) << solution.reason;
    const at::Tensor y = *fake->Run(block, x), with = *compensated->Run(block, x);
    EXPECT_TRUE(at::equal(*quantized->Run(block, x), y)) << i;
    EXPECT_TRUE(at::equal(with, linear->Apply(solution, x, y))) << i;
    EXPECT_EQ(at::equal(with, y), !solution.kept) << i;
    x = with;
  }
  EXPECT_TRUE(at::equal(*compensated->Run(model_->graph.head, x), Logits(*model_, true, network_->evaluation)));
}

TEST_F(QuantizedModelTest, AnUnknownCompensatorIsNamed) {
  QuantizedModel model = *model_;
  model.compensator = "linea";
  EXPECT_EQ(
      MakeQuantizedExecutor(model, true).status(),
      absl::NotFoundError("unknown compensator 'linea'; did you mean 'linear'? There are: group_conv, linear, none"));
}

TEST_F(QuantizedModelTest, EveryFlippedByteIsFound) {
  const std::string content = Saved();
  // All of the header would take long: a stride that is prime to the lengths in it.
  for (size_t at = 0; at < content.size(); at += at < 2000 ? 13 : 1009) {
    std::string damaged = content;
    damaged[at] ^= 1;
    const absl::Status status = LoadStatus(damaged);
    EXPECT_TRUE(status.code() == absl::StatusCode::kDataLoss || status.code() == absl::StatusCode::kInvalidArgument)
        << "byte " << at << ": " << status;
  }
}

TEST_F(QuantizedModelTest, DamageIsNamed) {
  const std::string content = Saved();
  const std::string path = Path("other.safetensors");
  const absl::Status damaged = absl::DataLossError(path + ": the checksum differs: the file is damaged");
  std::string last = content;
  last.back() ^= 1;
  EXPECT_EQ(LoadStatus(last), damaged);
  // A type or a shape of the same size.
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = content;
    const size_t found = changed.find(from);
    EXPECT_NE(found, std::string::npos) << from;
    return changed.replace(found, from.size(), to);
  };
  EXPECT_EQ(LoadStatus(replaced("\"dtype\":\"F16\",\"shape\":[48,48]", "\"dtype\":\"I16\",\"shape\":[48,48]")),
            damaged);
  EXPECT_EQ(LoadStatus(replaced("\"dtype\":\"F32\",\"shape\":[1,17,48]", "\"dtype\":\"F32\",\"shape\":[17,1,48]")),
            damaged);
  EXPECT_EQ(LoadStatus(replaced("\"provenance.config_sha256\":\"abc\"", "\"provenance.config_sha256\":\"abd\"")),
            damaged);
  EXPECT_EQ(LoadStatus(content.substr(0, content.size() - 7)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(LoadStatus("").code(), absl::StatusCode::kDataLoss);
}

TEST_F(QuantizedModelTest, OtherVersionsAndOtherFilesAreNamed) {
  const std::string path = Path("other.safetensors");
  const std::string content = Saved(), version = "\"qwt_model\":\"2\"";
  ASSERT_NE(content.find(version), std::string::npos);
  for (const char* other : {"1", "3"}) {
    std::string changed = content;
    changed[changed.find(version) + version.size() - 2] = *other;
    EXPECT_EQ(LoadStatus(changed, path),
              absl::InvalidArgumentError(path + ": is a quantised model of format " + other +
                                         "; this program reads format 2: make it anew with the config.yaml beside it"));
  }
  ASSERT_EQ(WriteSafetensors(path, {{{"weight", at::zeros({2})}}, {}}), absl::OkStatus());
  EXPECT_EQ(LoadQuantizedModel(path).status(),
            absl::InvalidArgumentError(path + ": is no quantised model, which a run writes as model.safetensors"));
  EXPECT_EQ(LoadQuantizedModel(Path("nowhere.safetensors")).status().code(), absl::StatusCode::kNotFound);
}

TEST(SwinTest, ComesBackWithTheBiasThatTheRewriteMade) {
  const GoldenNetwork network = LoadGoldenNetwork("swin_w4a4");
  const QuantizedModel model = Quantize(network);
  ASSERT_EQ(SaveQuantizedModel(Path("swin.safetensors"), model), absl::OkStatus());
  const auto loaded = LoadQuantizedModel(Path("swin.safetensors"));
  ASSERT_EQ(loaded.status(), absl::OkStatus());
  EXPECT_EQ(loaded->parameters.count("layers.0.downsample.reduction.bias"), 1);
  EXPECT_TRUE(at::equal(Logits(*loaded, false, network.evaluation), Logits(model, false, network.evaluation)));
}

// A compensation of which only the bits matter: counted whether kept or not, as in the reference.
void AddZeros(QuantizedModel* model) {
  const auto shapes = InferShapes(model->graph, 1);
  ASSERT_EQ(shapes.status(), absl::OkStatus());
  for (const Segment& block : model->graph.blocks) {
    const auto segments = model->graph.Segments();
    const int64_t width = (*shapes)[std::find(segments.begin(), segments.end(), &block) - segments.begin()][0].back();
    BlockSolution solution;
    solution.block = block.name;
    solution.tensors = {{"weight", at::zeros({width, width}, at::kHalf)}, {"bias", at::zeros({width})}};
    model->compensation.push_back(solution);
  }
}

TEST(SizeTest, IsTheReferences) {
  for (const char* name :
       {"vit_w4a4", "vit_w6a6", "vit_w3a3_start1", "deit_distilled_w4a4", "swin_w4a4", "swin_w6a6"}) {
    const GoldenNetwork network = LoadGoldenNetwork(name);
    QuantizedModel model = Quantize(network);
    AddZeros(&model);
    const std::vector<double> sizes = RecordedSizes(name);
    ASSERT_GE(sizes.size(), 2);
    EXPECT_NEAR(QuantizedSizeMb(model, false), sizes[sizes.size() - 2], 1e-9) << name;
    EXPECT_NEAR(QuantizedSizeMb(model, true), sizes.back(), 1e-9) << name;
    int64_t values = 0;
    for (const auto& [parameter, tensor] : network.parameters) values += tensor.numel();
    EXPECT_NEAR(FloatSizeMb(network.graph), values * 4 / 1e6, 1e-9) << name;
  }
}

// Running statistics do not count.
TEST(SizeTest, OfResnetsIsTheReferences) {
  for (const char* name : {"resnet_basic_w4a4", "resnet_bottleneck_w4a4"}) {
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const std::vector<double> sizes = RecordedSizes(name);
    ASSERT_EQ(sizes.size(), 3);
    EXPECT_NEAR(FloatSizeMb(network.graph), sizes[0], 1e-9) << name;
    EXPECT_NEAR(QuantizedSizeMb(Quantize(network), false), sizes[1], 1e-9) << name;
  }
}

// With no more than its specs.
QuantizedModel ForSizes(const Graph& graph, int bits) {
  const std::string options = "{weight_bits: " + std::to_string(bits) + "}";
  const QuantSpecs specs = *MakeComponent<QuantMethodRegistry>("repq_vit", options)->Specs(graph);
  QuantizedModel model;
  model.graph = graph;
  for (const auto& [site, spec] : specs) model.plan[site].spec = spec;
  AddZeros(&model);
  return model;
}

TEST(SizeTest, OfTheDemoAndOfDeiTSmallAsPublished) {
  VitConfig demo;
  demo.image = 28, demo.patch = 4, demo.width = 96, demo.depth = 6, demo.heads = 3, demo.classes = 10;
  QuantizedModel model = ForSizes(BuildVit("demo_vit", demo), 3);
  EXPECT_NEAR(QuantizedSizeMb(model, false), 0.305128, 1e-9);
  EXPECT_NEAR(QuantizedSizeMb(model, true), 0.418024, 1e-9);
  model = ForSizes(BuildVit("deit_small", VitConfig()), 4);
  EXPECT_NEAR(QuantizedSizeMb(model, false), 11.848, 5e-4);
  EXPECT_NEAR(QuantizedSizeMb(model, true), 15.405, 5e-4);
}

// A published network at four bits with all that its file holds; what the numbers are does not change its length.
QuantizedModel Published(const std::string& name, const std::string& method) {
  QuantizedModel model;
  model.graph = MakeComponent<ModelRegistry>(name, "{}");
  std::map<std::string, int64_t> channels;
  for (const ParameterSpec& parameter : model.graph.parameters) {
    model.parameters[parameter.name] = at::zeros(parameter.shape).fill_(0.3);  // no whole number
    channels[parameter.name] = parameter.shape[0];
  }
  const auto specs =
      *MakeComponent<QuantMethodRegistry>(method, "{weight_bits: 4, activation_bits: 4}")->Specs(model.graph);
  for (const Site& site : QuantSites(model.graph)) {
    if (!specs.count(site.name)) continue;
    const bool weight = site.role == SiteRole::kWeight;
    const int64_t scales = weight ? channels.at(site.node->weight) : 1;
    QuantSpec spec = specs.at(site.name);
    // As after re-parameterisation: one scale, and a zero point that is not whole.
    if (!weight) spec.granularity = Granularity::kPerTensor;
    model.plan[site.name] = {spec, at::zeros({scales}).fill_(0.1), at::zeros({scales}).fill_(weight ? 7 : 7.25)};
  }
  return model;
}

TEST(FileSizeTest, IsWithinThreePercentOfTheSizeThatIsReported) {
  for (const auto& [name, method] : std::map<std::string, std::string>{{"deit_tiny", "repq_vit"},
                                                                       {"deit_small", "repq_vit"},
                                                                       {"deit_small_distilled", "repq_vit"},
                                                                       {"swin_tiny", "repq_vit"},
                                                                       {"resnet18", "percentile"},
                                                                       {"resnet50", "percentile"},
                                                                       {"resnet101", "percentile"}}) {
    QuantizedModel model = Published(name, method);
    const bool compensated = method == "repq_vit";
    if (compensated) AddZeros(&model);
    const std::string path = Path("published.safetensors");
    ASSERT_EQ(SaveQuantizedModel(path, model), absl::OkStatus());
    const double mb = std::filesystem::file_size(path) / 1e6, reported = QuantizedSizeMb(model, compensated);
    std::cout << name << ": " << mb << " MB on disk, " << reported << " MB reported: " << 100 * (mb / reported - 1)
              << " % more\n";
    EXPECT_LT(mb / reported, 1.03) << name;
    EXPECT_GT(mb / reported, 1.0) << name;  // less would mean that something is not in it
    ASSERT_EQ(LoadQuantizedModel(path).status(), absl::OkStatus());
  }
}

}  // namespace
}  // namespace qwt
