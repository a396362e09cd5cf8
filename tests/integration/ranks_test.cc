// Two ranks, and three with uneven shares, against one: the same predictions on every image, and scales and solutions
// to the last bit.
#include <filesystem>
#include <map>
#include <memory>

#include "core/comm/rank_settings.h"
#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

using testing::HasSubstr;

// Every tensor of every entry of a store, under the entry's key text.
std::map<std::string, TensorMap> Entries(const std::string& store) {
  std::map<std::string, TensorMap> entries;
  for (const auto& file : std::filesystem::recursive_directory_iterator(store)) {
    if (file.path().filename() != "payload") continue;
    auto payload = ReadSafetensors(file.path());
    EXPECT_TRUE(payload.ok()) << payload.status();
    if (payload.ok()) entries[Contents(file.path().parent_path() / "key.txt")] = payload->tensors;
  }
  return entries;
}

void RunInto(const std::string& folder, int ranks) {
  // Which images are kept aside must not depend on who has them, either.
  const ProgramResult run =
      RunProgram(ShortQuickstart(folder, {"--nproc=" + std::to_string(ranks), "fit.images=72", "fit.gate=held_out"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(ResultIn(folder + "/out")["environment"]["ranks"], ranks);
}

TEST(RanksTest, AnyNumberOfRanksGivesTheSameBits) {
  const std::string one = TestFolder("ranks1");
  RunInto(one, 1);
  const auto expected = Entries(one + "/store");
  ASSERT_EQ(expected.size(), 13u);  // scales, weights, six blocks, three evaluations, two of the diagnosis
  for (int ranks : {2, 3}) {
    const std::string folder = TestFolder("ranks" + std::to_string(ranks));
    RunInto(folder, ranks);
    const auto found = Entries(folder + "/store");
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [key, tensors] : expected) {
      ASSERT_TRUE(found.count(key)) << key;
      for (const auto& [name, tensor] : tensors)
        EXPECT_TRUE(tensor.equal(found.at(key).at(name))) << name << " of\n" << key;
    }
    EXPECT_EQ(ResultIn(one + "/out")["evaluation"], ResultIn(folder + "/out")["evaluation"]);
    EXPECT_EQ(ResultIn(one + "/out")["blocks"], ResultIn(folder + "/out")["blocks"]);
    EXPECT_EQ(ResultIn(one + "/out")["diagnosis"], ResultIn(folder + "/out")["diagnosis"]);
    EXPECT_TRUE(ResultIn(folder + "/out")["blocks"][5]["held_out_r2"].is_number());
  }
}

// On machines that share no disk: what the first rank stores the other does not find, and makes itself.
TEST(RanksTest, AStoreForEachRankGivesTheSameBits) {
  const std::vector<std::string> options = {"fit.images=20", "evaluate.images=20", "diagnose.images=4"};
  const std::string one = TestFolder("one"), apart = TestFolder("apart"), port = std::to_string(*FreePort());
  ASSERT_EQ(RunProgram(ShortQuickstart(one, options)).exit_code, 0);
  std::vector<std::unique_ptr<Program>> ranks;
  for (const std::string rank : {"0", "1"}) {
    const std::map<std::string, std::string> environment = {{"RANK", rank},
                                                            {"LOCAL_RANK", rank},
                                                            {"WORLD_SIZE", "2"},
                                                            {"LOCAL_WORLD_SIZE", "2"},
                                                            {"MASTER_ADDR", "127.0.0.1"},
                                                            {"MASTER_PORT", port}};
    std::vector<std::string> own = options;
    own.push_back("runtime.store=" + apart + "/store" + rank);
    ranks.push_back(std::make_unique<Program>(ShortQuickstart(apart, own), environment));
  }
  for (const auto& rank : ranks) {
    const ProgramResult result = rank->Wait();
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  const auto expected = Entries(one + "/store"), found = Entries(apart + "/store0");
  EXPECT_EQ(Entries(apart + "/store1").size(), 0u);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [key, tensors] : expected) {
    ASSERT_TRUE(found.count(key)) << key;
    for (const auto& [name, tensor] : tensors)
      EXPECT_TRUE(tensor.equal(found.at(key).at(name))) << name << " of\n" << key;
  }
}

// The last line of a dry run, from the one rank that prints.
std::string DryRun(const std::vector<std::string>& more, const std::map<std::string, std::string>& environment = {}) {
  std::vector<std::string> arguments = ShortQuickstart(TestFolder("dry"), {"--dry_run"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunProgram(arguments, environment).out;
}

TEST(RanksTest, TheConfigSaysHowManyAndTheCommandLineWins) {
  EXPECT_THAT(DryRun({"runtime.device=cpu"}), HasSubstr(", 1 thread, 1 rank, "));
  EXPECT_THAT(DryRun({"runtime.device=cpu", "runtime.ranks=all"}), HasSubstr(", 1 thread, 1 rank, "));
  EXPECT_THAT(DryRun({"runtime.ranks=2"}), HasSubstr(", 1 thread, 2 ranks, "));
  EXPECT_THAT(DryRun({"runtime.ranks=2", "--nproc=3"}), HasSubstr(", 1 thread, 3 ranks, "));
  EXPECT_THAT(DryRun({"runtime.ranks=2", "--nproc=1"}), HasSubstr(", 1 thread, 1 rank, "));
  EXPECT_THAT(DryRun({"runtime.ranks=2"}, {{"WORLD_SIZE", "1"}}), HasSubstr(", 1 thread, 1 rank, "));
  for (const char* wrong : {"0", "1025", "some", "-1"}) {
    const ProgramResult run = RunProgram(ShortQuickstart(TestFolder("dry"), {std::string("runtime.ranks=") + wrong}));
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_THAT(run.err,
                HasSubstr(std::string("command line: runtime.ranks: must be all or a number from 1 to 1024, is '") +
                          wrong + "'"));
  }
}

// What srun sets, without srun: each task has its place from there, and joins the others.
TEST(RanksTest, TasksOfASlurmStepAreRanks) {
  const std::string port = std::to_string(*FreePort());
  std::vector<std::unique_ptr<Program>> tasks;
  for (int task : {0, 1}) {
    const std::map<std::string, std::string> environment = {{"SLURM_STEP_ID", "0"},
                                                            {"SLURM_PROCID", std::to_string(task)},
                                                            {"SLURM_LOCALID", std::to_string(task)},
                                                            {"SLURM_NTASKS", "2"},
                                                            {"SLURM_TASKS_PER_NODE", "2"},
                                                            {"SLURM_STEP_NODELIST", "localhost"},
                                                            {"SLURM_JOB_ID", "7"},
                                                            {"MASTER_PORT", port}};
    tasks.push_back(std::make_unique<Program>(ShortQuickstart(TestFolder("slurm"), {"--dry_run"}), environment));
  }
  const ProgramResult first = tasks[0]->Wait(), second = tasks[1]->Wait();
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(first.out, HasSubstr(", 1 thread, 2 ranks, "));
  EXPECT_EQ(second.out, "");
}

TEST(RanksTest, AWrongRequestIsReportedOnce) {
  const ProgramResult run = RunProgram(ShortQuickstart(TestFolder("wrong"), {"--nproc=2", "quantize.weight_bits=9"}));
  EXPECT_EQ(run.exit_code, 2);
  const std::string message = "command line: quantize.weight_bits: must be an integer from 2 to 8, is 9";
  const size_t first = run.err.find(message);
  ASSERT_NE(first, std::string::npos) << run.err;
  EXPECT_EQ(run.err.find(message, first + 1), std::string::npos) << run.err;
}

}  // namespace
}  // namespace qwt
