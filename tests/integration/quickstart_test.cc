// A run as a user makes it: what it leaves, that a second one computes nothing, and that its saved model evaluates the
// same.
#include "tests/integration/quickstart.h"

#include <filesystem>

#include "ATen/ops/arange.h"
#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Keys(const json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

// Those that read images say which, what was left out and what bounded them.
void ExpectStageKeys(const json& stage) {
  if (stage["name"] == "load" || stage["name"] == "quantize") {
    EXPECT_THAT(Keys(stage), ElementsAre("cached", "forward_images", "images", "images_per_second", "name",
                                         "peak_bytes", "seconds"));
    return;
  }
  EXPECT_THAT(Keys(stage),
              ElementsAre("bound_by", "cached", "forward_images", "images", "images_per_second", "images_sha256",
                          "load_seconds", "name", "peak_bytes", "seconds", "skipped", "transfer_seconds"));
  EXPECT_THAT(stage["bound_by"], testing::AnyOf("decode", "transfer", "compute"));
  EXPECT_EQ(stage["images_sha256"].get<std::string>().size(), 64u);
  EXPECT_TRUE(stage["skipped"].empty());
}

TEST(QuickstartTest, LeavesAResultOfSchemaOneAndItsFiles) {
  const std::string folder = TestFolder("whole");
  const ProgramResult run = RunProgram(ShortQuickstart(folder));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(run.out, HasSubstr("quickstart: vit on fashion_mnist, repq_vit W3/A3, QwT linear"));
  EXPECT_THAT(run.out, HasSubstr("  model          top-1   95 % interval    top-5       size   images/s\n"));
  for (const char* name :
       {"config.yaml", "run.log", "result.json", "predictions.safetensors", "model.safetensors", "report.html"}) {
    EXPECT_GT(Contents(folder + "/out/" + name).size(), 0u) << name;
  }
  const json result = ResultIn(folder + "/out");
  ASSERT_TRUE(result.is_object());
  EXPECT_THAT(Keys(result), ElementsAre("blocks", "config_sha256", "diagnosis", "environment", "error", "error_code",
                                        "evaluation", "images_per_second", "mcnemar", "name", "plan_sha256", "schema",
                                        "size_mb", "stages", "status"));
  EXPECT_EQ(result["schema"], 1);
  EXPECT_EQ(result["name"], "quickstart");
  EXPECT_EQ(result["status"], "ok");
  EXPECT_TRUE(result["error"].is_null());
  EXPECT_THAT(Keys(result["evaluation"]), ElementsAre("compensated", "float", "quantized"));
  for (const auto& [model, score] : result["evaluation"].items()) {
    if (model == "float") {
      EXPECT_THAT(Keys(score), ElementsAre("images", "top1", "top1_ci95", "top5"));
    } else {
      EXPECT_THAT(Keys(score), ElementsAre("images", "logits_mse", "top1", "top1_ci95", "top5"));
    }
    EXPECT_EQ(score["images"], 100);
    EXPECT_GT(score["top1"], 70) << model;
    EXPECT_GE(score["top5"], score["top1"]);
    EXPECT_LT(score["top1_ci95"][0], score["top1"]);
    EXPECT_GT(score["top1_ci95"][1], score["top1"]);
  }
  for (const char* model : {"quantized", "compensated"}) EXPECT_GT(result["evaluation"][model]["logits_mse"], 0.01);
  const json& diagnosis = result["diagnosis"];
  EXPECT_EQ(diagnosis["images"], 32);
  EXPECT_EQ(diagnosis["segments"].size(), 8u);  // stem, six blocks, head
  EXPECT_EQ(diagnosis["sites"].size(), 76u);
  EXPECT_GT(diagnosis["won_back"], 0);
  EXPECT_THAT(run.out, HasSubstr("  " + diagnosis["sentence"].get<std::string>() + "\n"));
  EXPECT_THAT(run.out, HasSubstr("images it was not fitted to."));
  ASSERT_EQ(result["mcnemar"].size(), 3u);
  EXPECT_EQ(result["mcnemar"][2]["models"], json({"quantized", "compensated"}));
  EXPECT_EQ(result["size_mb"]["quantized"], 0.305128);  // the reference's figures for this network at W3
  EXPECT_EQ(result["size_mb"]["compensated"], 0.418024);
  ASSERT_EQ(result["blocks"].size(), 6u);
  for (const json& block : result["blocks"]) {
    EXPECT_EQ(block["kept"], true);
    EXPECT_GT(block["r2"], 0);
    EXPECT_LT(block["mse_after"], block["mse_before"]);
    EXPECT_GE(block["condition"], 1);
  }
  std::vector<std::string> stages;
  for (const json& stage : result["stages"]) {
    stages.push_back(stage["name"]);
    ExpectStageKeys(stage);
    EXPECT_EQ(stage["cached"], false);
    EXPECT_GT(stage["peak_bytes"], 0);
  }
  EXPECT_THAT(stages, ElementsAre("load", "calibrate", "quantize", "fit", "evaluate", "diagnose"));
  EXPECT_THAT(Keys(result["environment"]), ElementsAre("device", "libtorch", "ranks", "threads", "version"));
}

// Another width takes the float model's logits from the store, and compares with them as if it had computed them.
TEST(QuickstartTest, FloatLogitsFromTheStoreGiveTheSameError) {
  const std::string folder = TestFolder("logits"), fresh = TestFolder("logits_fresh");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  ASSERT_EQ(RunProgram(ShortQuickstart(folder, {"quantize.weight_bits=4"})).exit_code, 0);
  ASSERT_EQ(RunProgram(ShortQuickstart(fresh, {"quantize.weight_bits=4"})).exit_code, 0);
  EXPECT_EQ(ResultIn(folder + "/out")["evaluation"], ResultIn(fresh + "/out")["evaluation"]);
}

TEST(QuickstartTest, EveryImagesPredictionIsWritten) {
  const std::string folder = TestFolder("predictions");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const auto file = ReadSafetensors(folder + "/out/predictions.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  const json result = ResultIn(folder + "/out");
  EXPECT_EQ(file->metadata.at("config_sha256"), result["config_sha256"]);
  EXPECT_TRUE(file->tensors.at("images").equal(at::arange(100)));
  for (const char* model : {"float", "quantized", "compensated"}) {
    const at::Tensor hits = file->tensors.at(std::string(model) + ".predictions").eq(file->tensors.at("labels"));
    EXPECT_TRUE(hits.equal(file->tensors.at(std::string(model) + ".top1").to(at::kBool)));
    EXPECT_EQ(hits.sum().item<int64_t>(), result["evaluation"][model]["top1"]);  // of 100
  }
  EXPECT_NEAR(file->tensors.at("quantized.squared_error").mean().item<double>(),
              result["evaluation"]["quantized"]["logits_mse"].get<double>(), 1e-12);
}

TEST(QuickstartTest, ASecondRunTakesEveryStageFromTheStore) {
  const std::string folder = TestFolder("twice");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const json first = ResultIn(folder + "/out");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const json second = ResultIn(folder + "/out");
  EXPECT_EQ(first["evaluation"], second["evaluation"]);
  EXPECT_EQ(first["blocks"], second["blocks"]);
  EXPECT_EQ(first["diagnosis"], second["diagnosis"]);
  for (const json& stage : second["stages"]) EXPECT_EQ(stage["cached"], stage["name"] != "load") << stage;
}

TEST(QuickstartTest, TheSameSeedTwiceGivesTheSameModelToTheLastBit) {
  const std::string one = TestFolder("one"), two = TestFolder("two");
  ASSERT_EQ(RunProgram(ShortQuickstart(one, {"fit.order=random"})).exit_code, 0);
  ASSERT_EQ(RunProgram(ShortQuickstart(two, {"fit.order=random", "runtime.threads=2"})).exit_code, 0);
  EXPECT_EQ(ResultIn(one + "/out")["evaluation"], ResultIn(two + "/out")["evaluation"]);
  EXPECT_EQ(ResultIn(one + "/out")["blocks"], ResultIn(two + "/out")["blocks"]);
  const std::string other = TestFolder("other");
  ASSERT_EQ(RunProgram(ShortQuickstart(other, {"fit.order=random", "seed=1"})).exit_code, 0);
  EXPECT_NE(ResultIn(one + "/out")["blocks"], ResultIn(other + "/out")["blocks"]);
}

std::vector<std::string> EvaluateSaved(const std::string& folder, const std::string& file) {
  return {"pipelines/run",       "configs/evaluate_saved.yaml", "load_quantized.file=" + file,
          "evaluate.images=100", "--out=" + folder + "/again",  "runtime.store=" + folder + "/other_store"};
}

// Its file is read before anything starts.
TEST(QuickstartTest, ASavedModelThatCannotBeEvaluatedIsRefused) {
  const std::string folder = TestFolder("refused");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder, {"stages=[load, calibrate, quantize]"})).exit_code, 0);
  const std::string content = Contents(folder + "/out/model.safetensors");
  std::string flipped = content, newer = content;
  flipped[flipped.size() / 2] ^= 1;
  newer.replace(newer.find("\"qwt_model\":\"2\""), 15, "\"qwt_model\":\"3\"");
  for (const auto& [damaged, message] :
       {std::pair(flipped, "the checksum differs: the file is damaged"),
        std::pair(newer, "is a quantised model of format 3; this program reads format 2"),
        std::pair(content.substr(0, content.size() / 2), "ends past the file's"),
        std::pair(content, "evaluate.models: the quantised model has no compensation: leave out compensated")}) {
    MakeFile(folder + "/model.safetensors", damaged);
    const ProgramResult run = RunProgram(EvaluateSaved(folder, folder + "/model.safetensors"));
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(folder + "/again"));
  }
}

TEST(QuickstartTest, TheSavedModelEvaluatesTheSameWithoutCalibration) {
  const std::string folder = TestFolder("saved");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const ProgramResult again = RunProgram(EvaluateSaved(folder, folder + "/out/model.safetensors"));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  const json first = ResultIn(folder + "/out"), second = ResultIn(folder + "/again");
  for (const char* model : {"quantized", "compensated"}) {
    // Without the float model there is nothing to compare logits with.
    json expected = first["evaluation"][model];
    expected.erase("logits_mse");
    EXPECT_EQ(expected, second["evaluation"][model]);
  }
  EXPECT_EQ(second["size_mb"]["compensated"], 0.418024);
  const json& comparison = second["mcnemar"][0];
  EXPECT_EQ(comparison, first["mcnemar"][2]);
}

TEST(QuickstartTest, TheWrittenConfigRunsAgainAsItIs) {
  const std::string folder = TestFolder("config");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const ProgramResult again = RunProgram({"pipelines/run", folder + "/out/config.yaml", "--out=" + folder + "/again"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(ResultIn(folder + "/out")["config_sha256"], ResultIn(folder + "/again")["config_sha256"]);
  EXPECT_EQ(Contents(folder + "/out/config.yaml"), Contents(folder + "/again/config.yaml"));
}

TEST(QuickstartTest, ADryRunSaysWhatWouldBeDoneAndWritesNothing) {
  const std::string folder = TestFolder("dry");
  ProgramResult run = RunProgram(ShortQuickstart(folder, {"--dry_run"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("fit                  64  0 of 6"));
  EXPECT_THAT(run.out, HasSubstr("evaluate            100  0 of 3"));
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  run = RunProgram(ShortQuickstart(folder, {"--dry_run", "evaluate.images=50"}));
  EXPECT_THAT(run.out, HasSubstr("fit                  64  6 of 6"));
  EXPECT_THAT(run.out, HasSubstr("evaluate             50  0 of 3"));
}

TEST(QuickstartTest, HelpAndUsage) {
  ProgramResult help = RunProgram({"pipelines/run", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word : {"config", "--nproc", "--out", "--dry_run", "130 interrupted"})
    EXPECT_THAT(help.out, HasSubstr(word));
  ProgramResult none = RunProgram({"pipelines/run"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("config is required"));
  ProgramResult unknown = RunProgram({"pipelines/run", "configs/quickstart.yaml", "--nprocs=2"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("--nprocs=2"));
}

}  // namespace
}  // namespace qwt
