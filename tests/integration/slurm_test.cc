// Sweeps over a real SLURM, started here, of the embedded network on few images.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"
#include "tests/helpers/slurm_cluster.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kBits[] = "grid: {quantize.weight_bits: [4, 3, 2]}\nrun_name: \"w{quantize.weight_bits}\"\n";
// A run begins when there is a file `go` in the sweep's folder.
constexpr char kGate[] = "slurm.setup=['while [ ! -e go ]; do sleep 0.1; done']";
constexpr int kSecondsToWait = 90;

void Pause(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

class SlurmTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!SlurmCluster::Missing().empty()) return;
    char folder[] = "/tmp/qwt_slurm_XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    cluster_folder_ = new std::string(folder);
    cluster_ = new SlurmCluster(folder);
  }
  static void TearDownTestSuite() {
    delete cluster_;
    if (cluster_folder_ != nullptr) fs::remove_all(*cluster_folder_);
    delete cluster_folder_;
  }
  void SetUp() override {
    if (cluster_ == nullptr) GTEST_SKIP() << "needs " << SlurmCluster::Missing();
  }

  std::vector<std::string> Command(const std::string& folder, const std::string& axes,
                                   const std::vector<std::string>& more = {"--launcher=slurm"}) {
    MakeFile(folder + "/manifest.yaml",
             "name: tiny\nbase: ${QWT_HOME}/configs/quickstart.yaml\nslurm: {cpus: 1, time: 10}\n"
             "set: {stages: [load, calibrate, quantize, fit, evaluate], calibrate.images: 8, fit.images: 16,"
             " evaluate.images: 20}\n" +
                 axes);
    std::vector<std::string> command = {"experiments/sweep", folder + "/manifest.yaml", "--out=" + folder + "/out",
                                        "runtime.store=" + folder + "/store"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  static ProgramResult Run(const std::vector<std::string>& command) {
    return RunProgram(command, cluster_->environment());
  }
  // Waits until a program has printed this.
  static void Await(Program& program, const std::string& text) {
    for (int tenths = 0; tenths < kSecondsToWait * 10 && program.running(); ++tenths) {
      if (program.Output().find(text) != std::string::npos) return;
      Pause(100);
    }
    ADD_FAILURE() << "'" << text << "' was not printed, but: " << program.Output();
  }

  static nlohmann::json Json(const std::string& path) { return nlohmann::json::parse(Contents(path), nullptr, false); }
  static std::string Tables(const std::string& folder) {
    return Contents(folder + "/out/table.csv") + Contents(folder + "/out/table.md") +
           Contents(folder + "/out/sweep.json");
  }
  // How many images a stage ran through the network, in all runs together.
  static int ForwardImages(const std::string& folder, const std::string& stage) {
    int images = 0;
    for (const auto& entry : fs::directory_iterator(folder + "/out/runs")) {
      const nlohmann::json result = Json(entry.path().string() + "/result.json");
      if (!result.is_object()) continue;
      for (const auto& record : result["stages"]) {
        if (record["name"] == stage) images += record["forward_images"].get<int>();
      }
    }
    return images;
  }
  // The jobs that a sweep has ever submitted: "12_0 COMPLETED" lines, in order.
  static std::vector<std::string> Submitted(const std::string& folder) {
    std::string names;
    for (const auto& entry : fs::directory_iterator(folder + "/out/slurm")) {
      if (entry.path().extension() == ".sh") names += (names.empty() ? "" : ",") + entry.path().stem().string();
    }
    std::istringstream lines(
        cluster_->Ask({"squeue", "--noheader", "--array", "--states=all", "--name=" + names, "--format=%i %T"}));
    std::set<std::string> sorted;
    for (std::string line; std::getline(lines, line);) sorted.insert(line);
    return {sorted.begin(), sorted.end()};
  }
  // "12" of the last line "  job 12: …" that a program has printed.
  static std::string LastJob(const std::string& printed) {
    const size_t found = printed.rfind("  job ");
    return found == std::string::npos ? "" : printed.substr(found + 6, printed.find(':', found) - found - 6);
  }

  static SlurmCluster* cluster_;
  static std::string* cluster_folder_;
};
SlurmCluster* SlurmTest::cluster_ = nullptr;
std::string* SlurmTest::cluster_folder_ = nullptr;

TEST_F(SlurmTest, AKilledSubmitterComesBackToTheSameTablesAndNothingIsDoneTwice) {
  const std::string folder = TestFolder("killed"), local = TestFolder("local");
  Program submitter(Command(folder, kBits, {"--launcher=slurm", kGate}), cluster_->environment());
  Await(submitter, ": w3 w2\n");
  kill(submitter.pid(), SIGKILL);
  submitter.Wait();
  // Not twice at the same time, wherever.
  const ProgramResult here = Run(Command(folder, kBits, {}));
  EXPECT_EQ(here.exit_code, 2);
  EXPECT_THAT(here.err, HasSubstr("runs of this sweep may still be in SLURM's queue"));

  // As if it had been killed before it heard of the last job's number.
  nlohmann::json record = Json(folder + "/out/slurm/jobs.json");
  record["jobs"][1]["job"] = "";
  MakeFile(folder + "/out/slurm/jobs.json", record.dump());
  Program again(Command(folder, kBits, {"--launcher=slurm", kGate}), cluster_->environment());
  Await(again, "  3 of them in the queue already");
  MakeFile(folder + "/out/go", "");
  const ProgramResult result = again.Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_THAT(result.out, HasSubstr("3 of 3 runs done, 0 failed, 3 now"));
  const std::vector<std::string> submitted = Submitted(folder);
  ASSERT_EQ(submitted.size(), 3) << testing::PrintToString(submitted);
  for (const std::string& job : submitted) EXPECT_THAT(job, HasSubstr("COMPLETED"));
  EXPECT_FALSE(fs::exists(folder + "/out/slurm/jobs.json"));

  ASSERT_EQ(Run(Command(local, kBits, {})).exit_code, 0);
  EXPECT_EQ(Tables(folder), Tables(local));
  // The float network is evaluated once, and each of the others.
  EXPECT_EQ(ForwardImages(folder, "evaluate"), 20 * (1 + 3 * 2));
  const ProgramResult finished = Run(Command(folder, kBits));
  EXPECT_THAT(finished.out, HasSubstr("3 of 3 runs done, 0 failed, 0 now"));
  EXPECT_EQ(Submitted(folder).size(), 3);
}

TEST_F(SlurmTest, CtrlCLeavesTheQueueAndSaysHowToComeBack) {
  const std::string folder = TestFolder("interrupted");
  const std::string one = "grid: {quantize.weight_bits: [4]}\nrun_name: \"w{quantize.weight_bits}\"\n";
  Program submitter(Command(folder, one, {"--launcher=slurm", kGate}), cluster_->environment());
  Await(submitter, "  job ");
  kill(submitter.pid(), SIGINT);
  const ProgramResult result = submitter.Wait();
  EXPECT_EQ(result.exit_code, 130);
  const std::string job = LastJob(result.out);
  EXPECT_THAT(result.out, HasSubstr("1 run goes on in the queue; the same command comes back to it, `scancel " + job +
                                    "` ends it"));
  EXPECT_THAT(result.err, HasSubstr("interrupted; the same command goes on from here"));
  EXPECT_EQ(Json(folder + "/out/sweep.json")["runs"][0]["status"], "not run");

  // Another manifest in the same folder: what is queued is no longer wanted.
  const std::string other = "grid: {quantize.weight_bits: [3]}\nrun_name: \"w{quantize.weight_bits}\"\n";
  const ProgramResult changed = Run(Command(folder, other));
  EXPECT_EQ(changed.exit_code, 0) << changed.err << changed.out;
  EXPECT_THAT(changed.out, HasSubstr("cancels what this sweep no longer holds: " + job + "_0\n"));
  EXPECT_EQ(cluster_->Ask({"squeue", "--noheader", "--job=" + job}), "");
}

TEST_F(SlurmTest, ARequeuedRunGoesOnAndAPreemptedOneIsSubmittedAgain) {
  const std::string folder = TestFolder("requeued");
  // Long enough to be met.
  Program submitter(
      Command(folder, "grid: {fit.images: [512]}\nrun_name: long\n", {"--launcher=slurm", "evaluate.images=1500"}),
      cluster_->environment());
  Await(submitter, "long started");
  const std::string job = LastJob(submitter.Output());
  cluster_->Ask({"scontrol", "requeue", job + "_0"});
  Await(submitter, "long is back in the queue (" + job + "_0)");
  // Whatever wants both cores ends it.
  for (int tenths = 0; tenths < 600; ++tenths) {
    if (cluster_->Ask({"squeue", "--noheader", "--states=RUNNING", "--job=" + job}) != "") break;
    Pause(100);
  }
  cluster_->Ask({"sbatch", "--partition=urgent", "--ntasks=2", "--output=/dev/null", "--wrap=true"});
  const ProgramResult result = submitter.Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_THAT(result.out, HasSubstr("long: again: was preempted (job " + job + "_0)"));
  EXPECT_THAT(result.out, HasSubstr("[1/1] long: ok"));
  EXPECT_NE(LastJob(result.out), job);
}

TEST_F(SlurmTest, TheUsersErrorIsSaidAndNotTriedAgain) {
  const std::string folder = TestFolder("users_error"), images = folder + "/images";
  for (int i = 0; i < 10; ++i) {
    for (const char* split : {"/train", "/val"}) {
      const std::string class_folder = images + split + "/class" + std::to_string(i);
      fs::create_directories(class_folder);
      fs::copy_file("tests/golden/transforms/portrait.jpg", class_folder + "/image.jpg");
    }
  }
  MakeFile(images + "/val/class4/image.jpg", "");
  const std::string dataset =
      "grid: {dataset: [{name: image_folder, preset: deit, root: " + images +
      "}], dataset.on_bad_image: [fail, skip], evaluate.images: [0], calibrate.images: [4], fit.images: [4],"
      " fit.transform: [eval]}\nrun_name: \"{dataset.on_bad_image}\"\n";
  const ProgramResult result = Run(Command(folder, dataset));
  EXPECT_EQ(result.exit_code, 1) << result.err << result.out;
  EXPECT_THAT(result.out,
              HasSubstr("fail: failed: evaluate: " + images + "/val/class4/image.jpg: the file is empty (job "));
  EXPECT_THAT(result.out, Not(HasSubstr("once more")));
  EXPECT_THAT(result.out, HasSubstr("skip: ok"));
  EXPECT_EQ(Submitted(folder).size(), 2);
}

TEST_F(SlurmTest, ARunThatCrashesIsTriedOnceMoreAndLeavesTheOthersTheirShare) {
  const std::string folder = TestFolder("crash");
  const std::string crash = "slurm.setup=['case $log in *w4*) echo so far; kill -SEGV $$;; esac']";
  const ProgramResult result = Run(Command(folder, kBits, {"--launcher=slurm", crash}));
  EXPECT_EQ(result.exit_code, 1) << result.err << result.out;
  EXPECT_THAT(result.out,
              HasSubstr("w4 failed and is tried once more: ended without a result; it printed last: 'so far' (job "));
  EXPECT_THAT(result.out, HasSubstr("w4: failed: ended without a result"));
  // They had waited for it, and SLURM ended them with it.
  EXPECT_THAT(result.out, HasSubstr("w3: again: a run whose values it uses has failed"));
  EXPECT_THAT(result.out, HasSubstr("2 of 3 runs done, 1 failed"));
  EXPECT_EQ(ForwardImages(folder, "evaluate"), 20 * (1 + 2 * 2));
}

TEST_F(SlurmTest, RanksOfSrunJoin) {
  const std::string folder = TestFolder("ranks"), one = TestFolder("one_rank");
  const std::string axes = "grid: {quantize.weight_bits: [3]}\nrun_name: w3\n";
  const ProgramResult result = Run(Command(folder, axes, {"--launcher=slurm", "slurm.ranks=2"}));
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out << Contents(folder + "/out/runs/w3/output.log");
  ASSERT_EQ(Run(Command(one, axes, {})).exit_code, 0);
  const nlohmann::json of_two = Json(folder + "/out/runs/w3/result.json");
  EXPECT_EQ(of_two["environment"]["ranks"], 2);
  EXPECT_EQ(of_two["blocks"], Json(one + "/out/runs/w3/result.json")["blocks"]);
  EXPECT_EQ(Tables(folder), Tables(one));
}

TEST_F(SlurmTest, WhatTheClusterRefusesIsQuotedAndNothingStarts) {
  const std::string folder = TestFolder("refused");
  const ProgramResult result = Run(Command(folder, kBits, {"--launcher=slurm", "slurm.partition=gpu"}));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("sbatch refuses the runs: "));
  EXPECT_THAT(result.err, HasSubstr("invalid partition specified: gpu"));
  EXPECT_THAT(result.err, HasSubstr("see slurm.partition; `sinfo` lists those there are"));
  EXPECT_FALSE(fs::exists(folder + "/out/slurm/jobs.json"));
  EXPECT_FALSE(fs::exists(folder + "/store"));
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  qwt::SlurmCluster::LeaveRoot(argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
