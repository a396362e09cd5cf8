// What a user gets wrong and what breaks: a clear error, the right exit code, nothing half written, nothing lost.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "ATen/ops/ones.h"
#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr char kWeights[] = "models/demo/demo_vit.safetensors";

// Runs the short quickstart with more arguments; exit code 2, the message on stderr, and nothing written.
void ExpectRefused(const std::string& name, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& messages) {
  const std::string folder = TestFolder(name);
  const ProgramResult run = RunProgram(ShortQuickstart(folder, arguments));
  EXPECT_EQ(run.exit_code, 2) << name << "\n" << run.out << run.err;
  for (const std::string& message : messages) EXPECT_THAT(run.err, HasSubstr(message)) << name;
  EXPECT_FALSE(fs::exists(folder + "/out")) << name;
}

TEST(BadRequestTest, IsRefusedBeforeAnythingStarts) {
  ExpectRefused("key", {"quantize.weight_bit=3"},
                {"command line: quantize.weight_bit: unknown key (did you mean 'weight_bits'?); allowed: method"});
  ExpectRefused("section", {"quantise.weight_bits=3"},
                {"command line: quantise: unknown key (did you mean 'quantize'?)"});
  ExpectRefused("method", {"quantize.method=repqvit"},
                {"command line: quantize.method: unknown quant method 'repqvit' (did you mean 'repq_vit'?); there are: "
                 "minmax, mse, percentile, repq_vit"});
  ExpectRefused("model", {"model.name=vitt"}, {"command line: model.name: unknown model 'vitt' (did you mean 'vit'?)"});
  ExpectRefused("dataset", {"dataset.name=mnist"}, {"command line: dataset.name: unknown dataset 'mnist'"});
  ExpectRefused("compensator", {"fit.compensator=linaer"}, {"unknown compensator 'linaer' (did you mean 'linear'?)"});
  ExpectRefused("bits", {"quantize.weight_bits=9", "quantize.activation_bits=1"},
                {"command line: quantize.weight_bits: must be an integer from 2 to 8, is 9",
                 "command line: quantize.activation_bits: must be an integer from 2 to 8, is 1"});
  ExpectRefused("type", {"fit.images=many"},
                {"command line: fit.images: must be an integer from 1 to 1000000000, is 'many'"});
  ExpectRefused("stage", {"stages=[load, quantize]"},
                {"stage 'quantize' needs the calibration, which no stage before it makes; put calibrate before it"});
  ExpectRefused("images", {"calibrate.images=513", "evaluate.images=10001"},
                {"command line: calibrate.images: dataset has 512 images, 513 are asked for\n",
                 "command line: evaluate.images: dataset has 10000 images, 10001 are asked for\n"});
  ExpectRefused("root", {"dataset.root=/nowhere"}, {"/nowhere"});
  ExpectRefused("weights", {"model.weights=/nowhere/a.safetensors"},
                {"model.weights: ", "/nowhere/a.safetensors", "No such file or directory"});
  ExpectRefused("shape", {"model.width=95", "model.heads=5"}, {"cls_token"});
  ExpectRefused("no_method", {"quantize.method="},
                {": quantize.method: is missing, must be one of minmax, mse, percentile, repq_vit\n"});
  ExpectRefused("override", {"quantize.overrides=[{match: blocks.*.mlp.fc3, activation_bits: 8}, {match: head}]"},
                {"error: command line: quantize.overrides[0].match: 'blocks.*.mlp.fc3' matches no node and no site of "
                 "vit; the nearest names: blocks.*.mlp.fc1, blocks.*.mlp.fc2, blocks.*.attn.qkv\n",
                 "command line: quantize.overrides[1].match: 'head' stands without weight_bits and activation_bits"});
  ExpectRefused("override_bits", {"quantize.overrides=[{match: head, weight_bits: 9, bits: 4}]"},
                {"command line: quantize.overrides[0].bits: unknown key; allowed: match, weight_bits, activation_bits",
                 "command line: quantize.overrides[0].weight_bits: must be an integer from 2 to 8, is 9"});
  ExpectRefused("heads", {"model.heads=5"},
                {"error: command line: model.heads: must divide width, is 5 for width 96\n"});
}

TEST(BadRequestTest, ANetworkThatTheCompensatorCannotCompensate) {
  const std::string folder = TestFolder("blocks");
  const ProgramResult run =
      RunProgram({"pipelines/run", "configs/demo_resnet.yaml", "stages=[load, calibrate, quantize, fit]",
                  "quantize={method: percentile}", "fit={compensator: linear}", "--out=" + folder + "/out",
                  "runtime.store=" + folder + "/store"});
  EXPECT_EQ(run.exit_code, 2) << run.out << run.err;
  EXPECT_THAT(run.err, HasSubstr("command line: fit.compensator: linear: needs blocks of tokens, [N, T, C] in and out; "
                                 "layer1.0 of resnet18 makes [1, 16, 8, 8] from [1, 16, 8, 8]\n"));
  EXPECT_FALSE(fs::exists(folder + "/out"));
}

TEST(BadRequestTest, ACompensationThatCannotBeFitted) {
  ExpectRefused("gate", {"fit.gate=heldout"}, {"fit.gate: must be one of in_sample, held_out, always"});
  ExpectRefused("held_out", {"fit.gate=held_out", "fit.images=3"},
                {"fit.compensator: gate: held_out keeps 0 of 3 fit images aside with held_out_fraction 0.25; take more "
                 "images or another fraction\n"});
  ExpectRefused("kernel", {"fit={compensator: group_conv, kernel_size: 2}"},
                {"fit.kernel_size: must be one of 1, 3, is 2"});
  ExpectRefused("tokens", {"fit.compensator=group_conv"},
                {"fit.compensator: group_conv: needs blocks of images, [N, C, h, w] in and out, of the same or a "
                 "smaller size; blocks.0 of vit makes [1, 50, 96] from [1, 50, 96]\n"});
}

TEST(BadRequestTest, AMissingConfigAndOneWithoutSections) {
  ProgramResult run = RunProgram({"pipelines/run", "configs/quickstrat.yaml"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("configs/quickstrat.yaml"));
  const std::string folder = TestFolder("empty");
  MakeFile(folder + "/empty.yaml", "name: x\nstages: [load]\nmodel: {name: vit}\nseed: [1\n");
  run = RunProgram({"pipelines/run", folder + "/empty.yaml"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("empty.yaml:5"));
}

// The demo weights with something done to them, as a file.
std::string ChangedWeights(const std::string& folder, const std::function<void(TensorMap&)>& change) {
  auto file = ReadSafetensors(kWeights);
  EXPECT_TRUE(file.ok()) << file.status();
  change(file->tensors);
  const std::string path = folder + "/weights.safetensors";
  EXPECT_TRUE(WriteSafetensors(path, *file).ok());
  return path;
}

TEST(BadWeightsTest, EveryDifferenceInOneMessage) {
  const std::string folder = TestFolder("changed_weights");
  const std::string path = ChangedWeights(folder, [](TensorMap& tensors) {
    tensors.erase("blocks.3.mlp.fc1.bias");
    tensors["extra"] = at::ones({2});
    tensors["head.weight"] = at::ones({12, 96});
  });
  ExpectRefused("differences", {"model.weights=" + path},
                {path, "blocks.3.mlp.fc1.bias", "extra", "head.weight", "[12, 96]", "[10, 96]"});
}

TEST(BadWeightsTest, NaNNamesTheTensor) {
  const std::string folder = TestFolder("nan_weights");
  const std::string path = ChangedWeights(folder, [](TensorMap& tensors) {
    tensors["blocks.2.norm1.bias"] =
        tensors["blocks.2.norm1.bias"].clone().fill_(std::numeric_limits<double>::quiet_NaN());
  });
  ExpectRefused("nan", {"model.weights=" + path}, {path, "blocks.2.norm1.bias"});
}

TEST(BadWeightsTest, ATruncatedAndACorruptFile) {
  const std::string folder = TestFolder("corrupt_weights");
  const std::string whole = Contents(kWeights);
  MakeFile(folder + "/short.safetensors", whole.substr(0, whole.size() / 2));
  ExpectRefused("short", {"model.weights=" + folder + "/short.safetensors"}, {"short.safetensors"});
  MakeFile(folder + "/text.safetensors", "these are no weights at all");
  ExpectRefused("text", {"model.weights=" + folder + "/text.safetensors"}, {"text.safetensors"});
}

TEST(BadDataTest, ATruncatedIdxFile) {
  const std::string folder = TestFolder("idx");
  for (const char* name : {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
                           "t10k-labels-idx1-ubyte.gz"}) {
    const std::string content = Contents(std::string("data/examples/fashion_mnist/") + name);
    MakeFile(folder + "/" + name, name[1] == '1' ? content.substr(0, content.size() / 2) : content);
  }
  ExpectRefused("truncated_idx", {"dataset.root=" + folder}, {folder + "/t10k-images-idx3-ubyte.gz"});
}

// An image_folder of ten classes with one good image each, and one more in the first that the training split cannot
// decode.
TEST(BadDataTest, AnImageThatCannotBeDecodedFailsTheRunAndIsNamed) {
  const std::string folder = TestFolder("images");
  const std::string jpeg = Contents("tests/golden/transforms/landscape.jpg");
  ASSERT_GT(jpeg.size(), 1000u);
  for (const char* split : {"train", "val"}) {
    for (int label = 0; label < 10; ++label) {
      const std::string path = folder + "/data/" + split + "/" + std::to_string(label);
      fs::create_directories(path);
      MakeFile(path + "/good.jpg", jpeg);
    }
  }
  const std::vector<std::string> arguments = {"dataset={name: image_folder, preset: vit, root: " + folder + "/data}",
                                              "calibrate.images=10", "fit.images=10", "evaluate.images=10"};
  ProgramResult run = RunProgram(ShortQuickstart(folder, arguments));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  MakeFile(folder + "/data/train/0/good.jpg", jpeg.substr(0, jpeg.size() / 2));
  run = RunProgram(ShortQuickstart(folder, arguments));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("error: calibrate: " + folder + "/data/train/0/good.jpg: "));
  EXPECT_EQ(ResultIn(folder + "/out")["status"], "failed");
  EXPECT_FALSE(fs::exists(folder + "/out/model.safetensors"));

  fs::remove_all(folder + "/data/val/9");
  ExpectRefused("classes", arguments, {"the dataset has 9 classes, the model 10"});
}

TEST(BadStoreTest, ADamagedEntryIsReportedAndMadeAgain) {
  const std::string folder = TestFolder("flipped");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const nlohmann::json before = ResultIn(folder + "/out");
  int damaged = 0;
  for (const auto& file : fs::recursive_directory_iterator(folder + "/store")) {
    if (file.path().filename() != "payload" ||
        Contents(file.path().parent_path() / "key.txt").find("stage: fit.block") == std::string::npos) {
      continue;
    }
    std::string content = Contents(file.path());
    content[content.size() / 2] ^= 1;
    MakeFile(file.path(), content);
    ++damaged;
  }
  ASSERT_EQ(damaged, 6);
  const ProgramResult run = RunProgram(ShortQuickstart(folder));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("its payload's checksum differs"));
  const nlohmann::json after = ResultIn(folder + "/out");
  EXPECT_EQ(before["blocks"], after["blocks"]);
  EXPECT_EQ(before["evaluation"], after["evaluation"]);
  for (const auto& stage : after["stages"])
    EXPECT_EQ(stage["cached"], stage["name"] != "load" && stage["name"] != "fit") << stage;
}

TEST(BadOutputTest, FoldersThatCannotBeWrittenTo) {
  const std::string folder = TestFolder("unwritable");
  MakeFile(folder + "/file", "x");
  ProgramResult run = RunProgram(ShortQuickstart(folder, {"--out=" + folder + "/file/out"}));
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("the run's folder cannot be written to; choose another with --out DIR"));
  run = RunProgram(ShortQuickstart(folder, {"--out=/proc/out"}));
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("choose another with --out DIR"));
  run = RunProgram(ShortQuickstart(folder, {"runtime.store=" + folder + "/file/store"}));
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("choose another folder with runtime.store=DIR"));
}

// A limit on the size of files stands for a full disk: the write fails half way in the same place.
TEST(BadOutputTest, AFullDiskFailsTheRunAndKeepsWhatWasDone) {
  const std::string folder = TestFolder("full");
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {300'000, old.rlim_max};  // scales fit, the rewritten parameters do not
  setrlimit(RLIMIT_FSIZE, &small);
  const ProgramResult failed = RunProgram(ShortQuickstart(folder));
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(failed.exit_code, 1) << failed.err;
  EXPECT_THAT(failed.err, HasSubstr("error: quantize: store '" + folder + "/store'"));
  EXPECT_THAT(failed.err, HasSubstr("File too large"));
  const nlohmann::json result = ResultIn(folder + "/out");
  EXPECT_EQ(result["status"], "failed");
  EXPECT_FALSE(fs::exists(folder + "/out/model.safetensors"));
  EXPECT_TRUE(fs::is_empty(folder + "/store/v1/tmp"));

  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const nlohmann::json after = ResultIn(folder + "/out");
  for (const auto& stage : after["stages"]) EXPECT_EQ(stage["cached"], stage["name"] == "calibrate") << stage;
}

}  // namespace
}  // namespace qwt
