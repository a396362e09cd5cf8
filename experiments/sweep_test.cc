// The program as a user runs it, on the embedded network and few images.
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SweepTest : public testing::Test {
 protected:
  // axes: the manifest's lines beside the base and what keeps runs short.
  std::vector<std::string> Command(const std::string& folder, const std::string& axes,
                                   const std::vector<std::string>& more = {}) {
    MakeFile(folder + "/manifest.yaml",
             "name: tiny\nbase: ${QWT_HOME}/configs/quickstart.yaml\n"
             "set: {calibrate.images: 8, evaluate.images: 20, runtime.threads: 1}\n" +
                 axes);
    std::vector<std::string> command = {"experiments/sweep", folder + "/manifest.yaml", "--out=" + folder + "/out",
                                        "runtime.store=" + folder + "/store"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  static nlohmann::json Json(const std::string& path) { return nlohmann::json::parse(Contents(path), nullptr, false); }
  static nlohmann::json StateOf(const std::string& folder, int run) {
    return Json(folder + "/out/sweep.json")["runs"][run];
  }
  static std::string Tables(const std::string& folder) {
    return Contents(folder + "/out/table.csv") + Contents(folder + "/out/table.md") +
           Contents(folder + "/out/sweep.json");
  }

  // By run, how many images a stage of this name ran through the network.
  static std::map<std::string, int> ForwardImages(const std::string& folder, const std::string& stage) {
    std::map<std::string, int> images;
    for (const auto& entry : fs::directory_iterator(folder + "/out/runs")) {
      const nlohmann::json result = Json(entry.path().string() + "/result.json");
      for (const auto& record : result["stages"]) {
        if (record["name"] == stage) images[entry.path().filename()] = record["forward_images"];
      }
    }
    return images;
  }
  static int Sum(const std::map<std::string, int>& images) {
    int sum = 0;
    for (const auto& [run, count] : images) sum += count;
    return sum;
  }

  // The runs of a sweep's process that live.
  static std::vector<pid_t> RunsOf(pid_t sweep) {
    std::ifstream file("/proc/" + std::to_string(sweep) + "/task/" + std::to_string(sweep) + "/children");
    std::vector<pid_t> runs;
    for (pid_t child; file >> child;) {
      if (Contents("/proc/" + std::to_string(child) + "/comm") == "sweep-run\n") runs.push_back(child);
    }
    return runs;
  }

  static void Pause(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }
};

constexpr char kBits[] =
    "grid: {fit.images: [16], quantize.weight_bits: [4, 3, 2]}\nrun_name: \"w{quantize.weight_bits}\"\n";
// Long enough to be met by a signal.
constexpr char kLong[] = "grid: {fit.images: [384, 385]}\nrun_name: \"n{fit.images}\"\n";

TEST_F(SweepTest, RunsAllAndNothingTwice) {
  const std::string folder = TestFolder("all");
  const ProgramResult planned = RunProgram(Command(folder, kBits, {"--dry_run"}));
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  EXPECT_THAT(planned.out, HasSubstr("sweep tiny: 3 runs (dry run: nothing is computed or written)"));
  EXPECT_THAT(planned.out, HasSubstr("15 of 15 stages are to be computed, in about an unknown time"));
  EXPECT_FALSE(fs::exists(folder + "/out"));

  const ProgramResult first = RunProgram(Command(folder, kBits));
  ASSERT_EQ(first.exit_code, 0) << first.err << first.out;
  EXPECT_THAT(first.out, HasSubstr("[3/3] w2: ok in"));
  EXPECT_THAT(first.out, HasSubstr("3 of 3 runs done, 0 failed, 3 now"));
  const nlohmann::json sweep = Json(folder + "/out/sweep.json");
  EXPECT_EQ(sweep["schema"], 1);
  EXPECT_EQ(sweep["name"], "tiny");
  EXPECT_EQ(sweep["axes"], nlohmann::json({"quantize.weight_bits"}));
  EXPECT_EQ(sweep["runs"][1],
            nlohmann::json::parse(R"({"name": "w3", "folder": "runs/w3", "status": "ok", "error": null,
                                                         "axes": {"quantize.weight_bits": "3"}})"));
  EXPECT_EQ(Json(folder + "/out/runs/w3/result.json")["name"], "w3");

  const std::string tables = Tables(folder);
  const auto written = fs::last_write_time(folder + "/out/runs/w3/result.json");
  const ProgramResult second = RunProgram(Command(folder, kBits));
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.out, HasSubstr("3 of 3 runs done, 0 failed, 0 now"));
  EXPECT_EQ(fs::last_write_time(folder + "/out/runs/w3/result.json"), written);
  EXPECT_EQ(Tables(folder), tables);

  // A result of another plan is none, except where a cluster's GPU has run what was planned here for the CPU.
  nlohmann::json result = Json(folder + "/out/runs/w3/result.json");
  result["plan_sha256"] = "another";
  for (const auto& [device, now] : std::map<std::string, std::string>{{"cpu", "1 now"}, {"cuda:0 (H100)", "0 now"}}) {
    result["environment"]["device"] = device;
    MakeFile(folder + "/out/runs/w3/result.json", result.dump());
    EXPECT_THAT(RunProgram(Command(folder, kBits)).out, HasSubstr("3 of 3 runs done, 0 failed, " + now)) << device;
  }

  // What is known now: nothing is left to do, and of other bit widths how long they take.
  EXPECT_THAT(RunProgram(Command(folder, kBits, {"--dry_run"})).out, HasSubstr("0 of 15 stages are to be computed"));
  EXPECT_THAT(RunProgram(Command(folder, kBits, {"--dry_run", "quantize.activation_bits=5"})).out,
              Not(HasSubstr("unknown time")));
}

TEST_F(SweepTest, AClusterIsAskedForArraysOfRunsThatWaitForTheSame) {
  const std::string folder = TestFolder("arrays");
  const ProgramResult planned =
      RunProgram(Command(folder, kBits, {"--dry_run", "--launcher=slurm", "--jobs=2", "slurm.partition=gpu"}));
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  const std::string slurm = folder + "/out/slurm/qwt-tiny-";
  EXPECT_THAT(planned.out, HasSubstr("--- " + slurm + "1.sh\n#!/bin/bash\n"));
  EXPECT_THAT(planned.out, HasSubstr("sbatch --parsable --job-name=qwt-tiny-1 --array=0-0%2 "));
  EXPECT_THAT(planned.out, HasSubstr(" --partition=gpu --ntasks=1 " + slurm + "1.sh\n"));
  EXPECT_THAT(planned.out, HasSubstr("0)  # w4\n"));
  EXPECT_THAT(planned.out, HasSubstr("--job-name=qwt-tiny-2 --array=0-1%2 "));
  EXPECT_THAT(planned.out, HasSubstr("--dependency=afterok:JOB1_0 --kill-on-invalid-dep=yes " + slurm + "2.sh\n"));
  EXPECT_THAT(planned.out, HasSubstr("0)  # w3\n"));
  EXPECT_THAT(planned.out, HasSubstr("1)  # w2\n"));
  EXPECT_FALSE(fs::exists(folder + "/out"));

  const ProgramResult without = RunProgram({"experiments/sweep", folder + "/manifest.yaml", "--out=" + folder + "/out",
                                            "runtime.store=" + folder + "/store", "--launcher=slurm"},
                                           {{"PATH", folder}});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.err, HasSubstr("there is no program 'sbatch' on PATH; start the sweep on a machine of the "
                                     "cluster that has SLURM's commands, or here with --launcher=local"));
  const ProgramResult unknown = RunProgram(Command(folder, kBits, {"--launcher=slrum"}));
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("slrum"));
}

TEST_F(SweepTest, FifteenRidgesAndGatesRunTheNetworkOnce) {
  const std::string folder = TestFolder("sums");
  const std::string axes =
      "set: {calibrate.images: 8, evaluate.images: 20, runtime.threads: 1, fit.images: 32, fit.prefix: quantized}\n"
      "grid: {fit.ridge: [0, 0.1, 1, 10, 100], fit.gate: [in_sample, held_out, always]}\n";
  std::vector<std::string> command = Command(folder, "");
  MakeFile(folder + "/manifest.yaml", "name: tiny\nbase: ${QWT_HOME}/configs/quickstart.yaml\n" + axes);
  EXPECT_THAT(RunProgram({command[0], command[1], command[2], command[3], "--dry_run"}).out,
              HasSubstr("sums of ridge0_gatein_sample"));
  const ProgramResult result = RunProgram(command);
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_EQ(ForwardImages(folder, "fit").size(), 15);
  EXPECT_EQ(ForwardImages(folder, "fit")["ridge0_gatein_sample"], 32);
  EXPECT_EQ(Sum(ForwardImages(folder, "fit")), 32);
  EXPECT_EQ(Sum(ForwardImages(folder, "calibrate")), 8);
  // The float and the uncompensated network are evaluated once, and each compensated one.
  EXPECT_EQ(Sum(ForwardImages(folder, "evaluate")), 20 * (2 + 15));

  // The same from sums as from images.
  const std::string alone = TestFolder("alone");
  command = Command(alone, "");
  MakeFile(alone + "/manifest.yaml",
           "name: tiny\nbase: ${QWT_HOME}/configs/quickstart.yaml\n" + axes +
               "exclude: [{fit.ridge: 0}, {fit.ridge: 0.1}, {fit.ridge: 1}, {fit.ridge: 100}, {fit.gate: always},"
               " {fit.gate: in_sample}]\nrun_name: \"ridge{fit.ridge}_gate{fit.gate}\"\n");
  ASSERT_EQ(RunProgram(command).exit_code, 0);
  const std::string run = "/out/runs/ridge10_gateheld_out/result.json";
  EXPECT_EQ(ForwardImages(alone, "fit")["ridge10_gateheld_out"], 32);
  EXPECT_EQ(Json(alone + run)["blocks"], Json(folder + run)["blocks"]);
  EXPECT_EQ(Json(alone + run)["evaluation"], Json(folder + run)["evaluation"]);
}

TEST_F(SweepTest, GatesThatKeepTheSameBlocksShareSumsBehindACompensatedPrefixToo) {
  const std::string folder = TestFolder("gates");
  const ProgramResult result = RunProgram(
      Command(folder,
              "grid: {fit.store_sums: [true], fit.images: [32], fit.gate: [in_sample, always], fit.ridge: [0, "
              "9]}\nrun_name: \"{fit.gate}{fit.ridge}\"\n"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(ForwardImages(folder, "fit"),
              ElementsAre(testing::Pair("always0", 0), testing::Pair("always9", 0), testing::Pair("in_sample0", 32),
                          testing::Pair("in_sample9", 32)));
}

// Their sums differ; the values that they sum do not.
TEST_F(SweepTest, FitsThatKeepOthersAsideTakeUpTheFirstOnesValues) {
  const std::string folder = TestFolder("values");
  const std::string axes =
      "set: {calibrate.images: 8, evaluate.images: 20, runtime.threads: 1, fit.images: 32, fit.prefix: quantized, "
      "fit.gate: held_out}\ngrid: {fit.held_out_fraction: [0.25, 0.5, 0.125]}\nrun_name: "
      "\"f{fit.held_out_fraction}\"\n";
  std::vector<std::string> command = Command(folder, "");
  MakeFile(folder + "/manifest.yaml", "name: tiny\nbase: ${QWT_HOME}/configs/quickstart.yaml\n" + axes);
  EXPECT_THAT(RunProgram({command[0], command[1], command[2], command[3], "--dry_run"}).out,
              HasSubstr("values of f0.25"));
  command.push_back("--jobs=3");
  const ProgramResult result = RunProgram(command);
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_THAT(ForwardImages(folder, "fit"),
              ElementsAre(testing::Pair("f0.125", 0), testing::Pair("f0.25", 32), testing::Pair("f0.5", 0)));
  // Nothing is kept where the user says so, and every fit finds the same.
  const std::string without = TestFolder("without_values");
  std::vector<std::string> other = Command(without, "");
  MakeFile(without + "/manifest.yaml", "name: tiny\nbase: ${QWT_HOME}/configs/quickstart.yaml\n" + axes);
  other.push_back("runtime.stored_cache_bytes=0");
  ASSERT_EQ(RunProgram(other).exit_code, 0);
  EXPECT_EQ(Sum(ForwardImages(without, "fit")), 3 * 32);
  for (const char* run : {"f0.125", "f0.25", "f0.5"}) {
    const std::string path = std::string("/out/runs/") + run + "/result.json";
    EXPECT_EQ(Json(without + path)["blocks"], Json(folder + path)["blocks"]) << run;
  }
}

TEST_F(SweepTest, SeveralAtATimeComputeNothingTwice) {
  const std::string folder = TestFolder("jobs"), alone = TestFolder("one_at_a_time");
  const std::string axes = "grid: {fit.images: [16], fit.ridge: [0, 1, 2]}\nrun_name: \"r{fit.ridge}\"\n";
  ASSERT_EQ(RunProgram(Command(folder, axes, {"--jobs=3"})).exit_code, 0);
  EXPECT_EQ(Sum(ForwardImages(folder, "calibrate")), 8);
  EXPECT_EQ(Sum(ForwardImages(folder, "evaluate")), 20 * (2 + 3));
  ASSERT_EQ(RunProgram(Command(alone, axes)).exit_code, 0);
  EXPECT_EQ(Tables(folder), Tables(alone));
}

TEST_F(SweepTest, EverythingWrongIsSaidBeforeAnythingStarts) {
  const std::string folder = TestFolder("wrong");
  const ProgramResult result =
      RunProgram(Command(folder,
                         "grid:\n  quantize.weight_bits: [4, 9]\n  fit.compensator: [linear, linaer]\n"
                         "  model.weights: [none.pth]\nlimits: 3\n"));
  EXPECT_EQ(result.exit_code, 2);
  const std::string file = folder + "/manifest.yaml:";
  EXPECT_THAT(result.err, HasSubstr(file + "8: limits: unknown key"));
  EXPECT_THAT(result.err, HasSubstr(file + "5: quantize.weight_bits: must be an integer from 2 to 8, is 9 (run "
                                           "weight_bits9_compensatorlinear and 1 more)"));
  EXPECT_THAT(result.err,
              HasSubstr(file + "6: fit.compensator: unknown compensator 'linaer' (did you mean 'linear'?)"));
  EXPECT_THAT(result.err, HasSubstr(file + "7: model.weights"));
  EXPECT_FALSE(fs::exists(folder + "/out"));
  EXPECT_FALSE(fs::exists(folder + "/store"));
}

TEST_F(SweepTest, ARunThatIsKilledIsTriedOnceMoreAndStopsNoOther) {
  const std::string folder = TestFolder("killed_run");
  Program program(Command(folder, kLong));
  std::set<pid_t> killed;
  while (program.running() && killed.size() < 2) {
    for (pid_t child : RunsOf(program.pid())) {
      if (killed.insert(child).second) kill(child, SIGKILL);
    }
    Pause(1);
  }
  const ProgramResult result = program.Wait();
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.out, HasSubstr("n384 failed and is tried once more: was ended by signal 9"));
  EXPECT_THAT(result.out, HasSubstr("[1/2] n384: failed: was ended by signal 9"));
  EXPECT_THAT(result.out, HasSubstr("[2/2] n385: ok"));
  EXPECT_EQ(StateOf(folder, 0)["status"], "failed");
  EXPECT_EQ(StateOf(folder, 0)["error"], "was ended by signal 9");
  EXPECT_EQ(StateOf(folder, 1)["status"], "ok");

  const ProgramResult again = RunProgram(Command(folder, kLong));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("2 of 2 runs done, 0 failed, 1 now"));
  EXPECT_EQ(StateOf(folder, 0)["status"], "ok");
}

TEST_F(SweepTest, TheUsersErrorIsSaidAndNotTriedAgain) {
  const std::string folder = TestFolder("users_error"), images = folder + "/images";
  for (int i = 0; i < 10; ++i) {
    for (const char* split : {"/train", "/val"}) {
      const std::string class_folder = images + split + "/class" + std::to_string(i);
      fs::create_directories(class_folder);
      fs::copy_file("tests/golden/transforms/portrait.jpg", class_folder + "/image.jpg");
    }
  }
  MakeFile(images + "/val/class4/image.jpg", "");
  MakeFile(folder + "/manifest.yaml",
           "base: ${QWT_HOME}/configs/quickstart.yaml\n"
           "set:\n  dataset: {name: image_folder, preset: deit, root: " +
               images + "}\n" +
               "  calibrate: {images: 4, transform: eval}\n  fit: {images: 4, transform: eval}\n  evaluate.images: 0\n"
               "grid: {dataset.on_bad_image: [fail, skip]}\nrun_name: \"{dataset.on_bad_image}\"\n");
  const ProgramResult result = RunProgram({"experiments/sweep", folder + "/manifest.yaml", "--out=" + folder + "/out",
                                           "runtime.store=" + folder + "/store", "runtime.threads=1"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  const std::string error = "evaluate: " + images + "/val/class4/image.jpg: the file is empty";
  EXPECT_THAT(result.out, HasSubstr("  [1/2] fail: failed: " + error + "\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("once more")));
  EXPECT_THAT(result.out, HasSubstr("  [2/2] skip: ok"));
  EXPECT_EQ(StateOf(folder, 0)["error"], error);
  EXPECT_EQ(Json(folder + "/out/runs/fail/result.json")["error_code"], "DATA_LOSS");
}

TEST_F(SweepTest, CtrlCAndAgain) {
  const std::string folder = TestFolder("interrupted");
  Program program(Command(folder, kLong));
  while (program.running() && RunsOf(program.pid()).empty()) Pause(1);
  Pause(300);
  kill(program.pid(), SIGINT);
  const ProgramResult result = program.Wait();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_THAT(result.err, HasSubstr("interrupted; the same command goes on from here"));
  EXPECT_EQ(StateOf(folder, 1)["status"], "not run");
  EXPECT_EQ(RunProgram(Command(folder, kLong)).exit_code, 0);
  EXPECT_EQ(StateOf(folder, 1)["status"], "ok");
}

TEST_F(SweepTest, KilledAtAnyMomentItGoesOnWithTheSameTables) {
  const std::string folder = TestFolder("killed"), whole = TestFolder("whole");
  for (int milliseconds : {150, 700, 1500}) {
    Program program(Command(folder, kBits));
    Pause(milliseconds);
    kill(program.pid(), SIGKILL);
    program.Wait();
  }
  const ProgramResult result = RunProgram(Command(folder, kBits));
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  ASSERT_EQ(RunProgram(Command(whole, kBits)).exit_code, 0);
  EXPECT_EQ(Tables(folder), Tables(whole));
  for (const auto& entry : fs::recursive_directory_iterator(folder + "/out")) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".tmp.")));
  }
}

TEST_F(SweepTest, OneFolderIsOneSweeps) {
  const std::string folder = TestFolder("two");
  Program first(Command(folder, kLong));
  while (first.running() && RunsOf(first.pid()).empty()) Pause(1);
  kill(first.pid(), SIGSTOP);
  for (pid_t child : RunsOf(first.pid())) kill(child, SIGSTOP);
  const ProgramResult second = RunProgram(Command(folder, kLong));
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_THAT(second.err, HasSubstr("another sweep runs in '" + folder + "/out'"));
  kill(first.pid(), SIGKILL);
  first.Wait();
}

}  // namespace
}  // namespace qwt
