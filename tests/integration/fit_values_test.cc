// Where a fit's values between blocks live is nothing to its result, and what it keeps of them in the store another
// run goes on from.
#include <filesystem>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json FitOf(const std::string& folder) {
  const json result = ResultIn(folder + "/out");
  EXPECT_TRUE(result.is_object());
  for (const json& stage : result["stages"]) {
    if (stage["name"] == "fit") return stage;
  }
  return {};
}

json BlocksOf(const std::string& folder) { return ResultIn(folder + "/out")["blocks"]; }
json EvaluationOf(const std::string& folder) { return ResultIn(folder + "/out")["evaluation"]; }
std::string LogOf(const std::string& folder) { return Contents(folder + "/out/run.log"); }

// The stage of an entry's key and its last line, "block: blocks.3".
std::pair<std::string, std::string> KeyOf(const fs::path& entry) {
  const std::string key = Contents(entry / "key.txt");
  const size_t kind = key.find("stage: ") + 7, last = key.rfind('\n', key.size() - 2) + 1;
  return {key.substr(kind, key.find(' ', kind) - kind), key.substr(last, key.size() - last - 1)};
}

std::vector<fs::path> EntriesOf(const std::string& store, const std::string& kind, const std::string& block = "") {
  std::vector<fs::path> entries;
  for (const auto& prefix : fs::directory_iterator(store + "/v1")) {
    if (!prefix.is_directory() || prefix.path().filename().string().size() != 2) continue;
    for (const auto& entry : fs::directory_iterator(prefix.path())) {
      const auto [entry_kind, last] = KeyOf(entry.path());
      if (entry_kind == kind && (block.empty() || last == "block: " + block)) entries.push_back(entry.path());
    }
  }
  return entries;
}

void ExpectSameWhateverTheBudget(const std::string& config, const std::vector<std::string>& more) {
  SCOPED_TRACE(config);
  json blocks, evaluation;
  const std::vector<std::vector<std::string>> budgets = {
      {"runtime.cache_bytes=10GB"}, {"runtime.cache_bytes=0"}, {"runtime.cache_bytes=300kB", "runtime.threads=2"}};
  for (const std::vector<std::string>& budget : budgets) {
    const std::string folder = TestFolder("budget");
    std::vector<std::string> arguments = ShortQuickstart(folder, budget);
    arguments[1] = config;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult run = RunProgram(arguments);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    if (blocks.is_null()) blocks = BlocksOf(folder), evaluation = EvaluationOf(folder);
    EXPECT_EQ(BlocksOf(folder), blocks) << budget[0];
    EXPECT_EQ(EvaluationOf(folder), evaluation) << budget[0];
    EXPECT_EQ(EntriesOf(folder + "/store", "activations").size(), 0u);
    EXPECT_TRUE(fs::is_empty(folder + "/store/v1/tmp"));
    const bool in_files = absl::StrContains(run.out, " in a file beside the store\n");
    EXPECT_EQ(in_files, budget[0] != "runtime.cache_bytes=10GB");
  }
}

TEST(FitValuesTest, TheBudgetChangesNoBit) {
  const std::string stages = "stages=[load, calibrate, quantize, fit, evaluate]",
                    models = "evaluate.models=[quantized, compensated]";
  ExpectSameWhateverTheBudget("configs/quickstart.yaml", {});
  ExpectSameWhateverTheBudget("configs/demo_swin.yaml", {stages, models});  // with a transition between blocks
  ExpectSameWhateverTheBudget("configs/demo_resnet.yaml",
                              {stages, models, "quantize={method: percentile, weight_bits: 4, activation_bits: 4}",
                               "calibrate={order: first, transform: eval}",
                               "fit={compensator: group_conv, factor: 16, order: first, transform: eval, images: 64}"});
}

TEST(FitValuesTest, AFitThatSumsOtherwiseRunsNoImageThroughTheNetwork) {
  const std::string shared = TestFolder("shared"), fresh = TestFolder("fresh");
  const std::vector<std::string> other = {"fit.prefix=quantized", "fit.gate=held_out", "fit.held_out_fraction=0.5"};
  ASSERT_EQ(RunProgram(ShortQuickstart(shared, {"fit.prefix=quantized", "runtime.stored_cache_bytes=1GB"})).exit_code,
            0);
  EXPECT_EQ(FitOf(shared)["forward_images"], 64);
  EXPECT_EQ(EntriesOf(shared + "/store", "activations").size(), 24u);  // six blocks, four batches
  ASSERT_EQ(RunProgram(ShortQuickstart(shared, other)).exit_code, 0);
  EXPECT_EQ(FitOf(shared)["forward_images"], 0);
  EXPECT_THAT(LogOf(shared), HasSubstr("fit: from the store, values of blocks.5: its inputs and outputs"));
  ASSERT_EQ(RunProgram(ShortQuickstart(fresh, other)).exit_code, 0);
  EXPECT_EQ(FitOf(fresh)["forward_images"], 64);
  EXPECT_EQ(BlocksOf(shared), BlocksOf(fresh));
  EXPECT_EQ(EvaluationOf(shared), EvaluationOf(fresh));
  // Two ranks find what one has kept.
  auto arguments = ShortQuickstart(shared, {"fit.prefix=quantized", "fit.compensator=none", "--nproc=2"});
  ASSERT_EQ(RunProgram(arguments).exit_code, 0);
  EXPECT_EQ(FitOf(shared)["forward_images"], 0);
}

// Behind a compensated prefix another ridge gives all blocks but the first other inputs; other batches are cut
// otherwise.
TEST(FitValuesTest, ValuesOfOtherCompensationsAndBatchesAreNotTakenUp) {
  const std::string shared = TestFolder("mixed");
  ASSERT_EQ(RunProgram(ShortQuickstart(shared, {"runtime.stored_cache_bytes=1GB"})).exit_code, 0);
  for (const std::string change : {"fit.ridge=100", "runtime.batch_size=32", "seed=1"}) {
    SCOPED_TRACE(change);
    const std::string fresh = TestFolder("mixed_fresh");
    ASSERT_EQ(RunProgram(ShortQuickstart(shared, {"fit.order=random", change})).exit_code, 0);
    ASSERT_EQ(RunProgram(ShortQuickstart(fresh, {"fit.order=random", change})).exit_code, 0);
    EXPECT_EQ(BlocksOf(shared), BlocksOf(fresh));
    EXPECT_EQ(FitOf(shared)["forward_images"], 64);
  }
  const std::string fresh = TestFolder("mixed_fresh");
  ASSERT_EQ(RunProgram(ShortQuickstart(shared, {"fit.ridge=100"})).exit_code, 0);
  ASSERT_EQ(RunProgram(ShortQuickstart(fresh, {"fit.ridge=100"})).exit_code, 0);
  EXPECT_THAT(LogOf(shared), HasSubstr("values of blocks.0: its inputs and outputs"));
  EXPECT_THAT(LogOf(shared), Not(HasSubstr("values of blocks.1")));
  EXPECT_EQ(BlocksOf(shared), BlocksOf(fresh));
}

// As if killed in the middle of blocks.4.
TEST(FitValuesTest, AFitThatWasStoppedGoesOnAtItsLastWholeBlock) {
  const std::string folder = TestFolder("stopped");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder, {"runtime.stored_cache_bytes=1GB"})).exit_code, 0);
  const json blocks = BlocksOf(folder), evaluation = EvaluationOf(folder);
  const auto remove = [&](const std::string& kind, const std::string& block) {
    for (const fs::path& entry : EntriesOf(folder + "/store", kind, block)) fs::remove_all(entry);
  };
  for (const char* block : {"blocks.4", "blocks.5"}) remove("fit.block", block);
  remove("activations", "blocks.5");
  fs::remove_all(EntriesOf(folder + "/store", "activations", "blocks.4")[0]);
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  EXPECT_THAT(LogOf(folder), HasSubstr("fit: from the store, values of blocks.3: its inputs\n"));
  EXPECT_EQ(FitOf(folder)["load_seconds"], 0);  // no image was decoded
  EXPECT_EQ(BlocksOf(folder), blocks);
  EXPECT_EQ(EvaluationOf(folder), evaluation);
}

TEST(FitValuesTest, DamagedValuesAreComputedAgain) {
  const std::string folder = TestFolder("damaged");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder, {"fit.prefix=quantized", "runtime.stored_cache_bytes=1GB"})).exit_code,
            0);
  for (const fs::path& entry : EntriesOf(folder + "/store", "activations", "blocks.2")) {
    fs::resize_file(entry / "payload", fs::file_size(entry / "payload") - 1);
  }
  const std::vector<std::string> other = {"fit.prefix=quantized", "fit.compensator=none"};
  const std::string fresh = TestFolder("damaged_fresh");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder, other)).exit_code, 0);
  ASSERT_EQ(RunProgram(ShortQuickstart(fresh, other)).exit_code, 0);
  EXPECT_EQ(BlocksOf(folder), BlocksOf(fresh));
  EXPECT_EQ(FitOf(folder)["forward_images"], 64);
  EXPECT_THAT(LogOf(folder), HasSubstr("values of blocks.3: its inputs and outputs"));
  EXPECT_THAT(LogOf(folder), Not(HasSubstr("values of blocks.2")));
}

TEST(FitValuesTest, TheStoresBudgetHolds) {
  const std::string folder = TestFolder("holds");
  // A block's values take 3 x 64 x 50 tokens x 48 channels x 4 bytes and a little.
  ASSERT_EQ(RunProgram(ShortQuickstart(folder, {"fit.prefix=quantized", "runtime.stored_cache_bytes=5MB"})).exit_code,
            0);
  uint64_t bytes = 0;
  const auto entries = EntriesOf(folder + "/store", "activations");
  for (const fs::path& entry : entries) bytes += fs::file_size(entry / "payload");
  EXPECT_LE(bytes, 5000000u);
  EXPECT_GE(bytes, 1000000u);
  EXPECT_LT(entries.size(), 24u);
  EXPECT_EQ(EntriesOf(folder + "/store", "activations", "blocks.5").size(), 4u);  // the last stay
  EXPECT_EQ(EntriesOf(folder + "/store", "activations", "blocks.0").size(), 0u);
}

}  // namespace
}  // namespace qwt
