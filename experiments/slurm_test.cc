// What SLURM is told and what is made of what it says; tests/integration:slurm_test does it with a real one.
#include <filesystem>

#include "experiments/slurm_arrays.h"
#include "experiments/slurm_options.h"
#include "experiments/slurm_queue.h"
#include "experiments/slurm_record.h"
#include "experiments/slurm_script.h"
#include "experiments/slurm_states.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Options Slurm(const std::string& yaml, Problems* problems) {
  return CheckSlurm(*ParseConfig(yaml, "m.yaml")->Find("slurm"), problems);
}

TEST(SlurmOptionsTest, BecomeFlagsOfSbatch) {
  Problems problems;
  EXPECT_THAT(SbatchFlags(Slurm("slurm: {}", &problems)), ElementsAre("--ntasks=1"));
  EXPECT_THAT(
      SbatchFlags(Slurm("slurm: {partition: gpu, account: lab, qos: low, time: 1:30:00, memory: 16G, gpus: "
                        "a100:2, cpus: 4, ranks: 2, nodes: 1, flags: [--constraint=a|b, --exclusive]}",
                        &problems)),
      ElementsAre("--partition=gpu", "--account=lab", "--qos=low", "--time=1:30:00", "--mem=16G", "--gres=gpu:a100:2",
                  "--nodes=1", "--ntasks=2", "--cpus-per-task=4", "--constraint=a|b", "--exclusive"));
  EXPECT_TRUE(problems.empty()) << problems.ToStatus();
}

TEST(SlurmOptionsTest, AreCheckedWhole) {
  Problems problems;
  Slurm("slurm:\n  partiton: gpu\n  cpus: 0\n", &problems);
  Slurm("slurm:\n  flags: [--array=0-3, constraint, -J x]\n", &problems);
  EXPECT_THAT(problems.lines(),
              ElementsAre(HasSubstr("m.yaml:2: slurm.partiton: unknown"),
                          HasSubstr("m.yaml:3: slurm.cpus: must be an integer from 1 to 4096, is 0"),
                          "m.yaml:2: slurm.flags: cannot hold --array, which is the sweep's to say",
                          "m.yaml:2: slurm.flags: 'constraint' must begin with '-', as --constraint=a100",
                          "m.yaml:2: slurm.flags: cannot hold -J, which is the sweep's to say"));
}

ArrayJob TwoRuns(const std::string& folder) {
  ArrayJob job;
  job.name = "qwt-tiny-1";
  job.folder = folder;
  job.tasks = {{"w4", {"with space", "a=$HOME", "it's"}, folder + "/w4.log"}, {"w3", {""}, folder + "/w3.log"}};
  job.flags = {"--ntasks=1"};
  job.program = "/usr/bin/printf";
  job.home = "/qwt home";
  return job;
}

TEST(SlurmScriptTest, TheCommand) {
  ArrayJob job = TwoRuns("/sweeps/50%");
  EXPECT_THAT(SbatchCommand(job),
              ElementsAre("sbatch", "--parsable", "--job-name=qwt-tiny-1", "--array=0-1", "--chdir=/sweeps/50%",
                          "--output=/sweeps/50%%/slurm/qwt-tiny-1_%a.log", "--open-mode=append", "--requeue",
                          "--ntasks=1", "/sweeps/50%/slurm/qwt-tiny-1.sh"));
  job.at_a_time = 1;
  job.after = {"12_0", "13_4"};
  EXPECT_THAT(SbatchCommand(job),
              testing::IsSupersetOf({"--array=0-1%1", "--dependency=afterok:12_0:13_4", "--kill-on-invalid-dep=yes"}));
}

TEST(SlurmScriptTest, EachTaskRunsItsOwnWordForWord) {
  const std::string folder = TestFolder("a folder's");
  ArrayJob job = TwoRuns(folder);
  job.tasks[0].arguments.insert(job.tasks[0].arguments.begin(), "%s|");
  job.tasks[1].arguments = {"%s|", ""};
  job.setup = {"echo setup $QWT_HOME $QWT_RUN_OF_SWEEP"};
  MakeFile(folder + "/job.sh", ArrayScript(job));
  for (const char* task : {"0", "1", "1"}) {
    EXPECT_EQ(RunProgram({"/bin/bash", folder + "/job.sh"}, {{"SLURM_ARRAY_TASK_ID", task}}).exit_code, 0);
  }
  EXPECT_EQ(Contents(folder + "/w4.log"), "setup /qwt home 1\nwith space|a=$HOME|it's|");
  EXPECT_EQ(Contents(folder + "/w3.log"), "setup /qwt home 1\n|setup /qwt home 1\n|");
  job.srun = true;
  EXPECT_THAT(ArrayScript(job), HasSubstr("\nexec srun --kill-on-bad-exit=1 /usr/bin/printf \"${run[@]}\"\n"));
}

TEST(SlurmArraysTest, RunsThatWaitForTheSameAreOneJob) {
  std::vector<StartOf> starting = {{0, 0, 0, {}}, {1, 1, 0, {0}}, {2, 2, 0, {}}, {3, 3, 0, {0}}};
  const auto jobs = [&] {
    std::vector<int> jobs;
    for (const StartOf& start : TakeAlike(&starting)) jobs.push_back(start.job);
    return jobs;
  };
  EXPECT_THAT(jobs(), ElementsAre(0, 2));
  EXPECT_THAT(jobs(), ElementsAre(1, 3));
  EXPECT_TRUE(starting.empty());
  starting.resize(1001);
  EXPECT_EQ(jobs().size(), 1000);
}

TEST(SlurmQueueTest, ReadsWhatSqueueAndSacctPrint) {
  const auto states = ParseTasks(
      "7_0|qwt-a-1|RUNNING|None\n7_[2-3,5%2]|qwt-a-1|PENDING|launch failed requeued held\n"
      "9_0|qwt-b-2|CANCELLED by 1000\n\n");
  ASSERT_TRUE(states.ok()) << states.status();
  EXPECT_EQ(states->size(), 5);
  EXPECT_EQ(states->at({"qwt-a-1", 0}).job, "7");
  EXPECT_EQ(states->at({"qwt-a-1", 0}).state, "RUNNING");
  for (int task : {2, 3, 5}) {
    EXPECT_EQ(states->at({"qwt-a-1", task}).state, "PENDING");
    EXPECT_EQ(states->at({"qwt-a-1", task}).reason, "launch failed requeued held");
  }
  EXPECT_EQ(states->at({"qwt-b-2", 0}).state, "CANCELLED");
  EXPECT_TRUE(ParseTasks("")->empty());
  const auto rest = ParseTasks("12_1|a|COMPLETED|None\n12|a|CANCELLED|None\n");
  EXPECT_EQ(FindTask(*rest, "a", 1)->state, "COMPLETED");
  EXPECT_EQ(FindTask(*rest, "a", 0)->state, "CANCELLED");
  EXPECT_EQ(FindTask(*rest, "b", 0), nullptr);
  for (const char* line : {"7 qwt-a-1|RUNNING|None", "7_x|a|RUNNING|None", "7_[1-2|a|RUNNING|None", "7_0|a",
                           "7_1-2-3|a|RUNNING|None", "slurm_load_jobs error"}) {
    EXPECT_EQ(ParseTasks(line).status(), absl::InternalError(std::string("squeue or sacct printed '") + line +
                                                             "', which is not 'JOB_INDEX|name|state|reason'"));
  }
}

TEST(SlurmQueueTest, ReadsTheNumberOfAJob) {
  EXPECT_EQ(ParseJob("12\n"), "12");
  EXPECT_EQ(ParseJob("12;cluster\n"), "12");
  EXPECT_EQ(ParseJob("Submitted batch job 12\n"), "");
  EXPECT_EQ(ParseJob(""), "");
}

TEST(SlurmQueueTest, ARefusalSaysWhatToDoAndOneThatPassesIsNone) {
  EXPECT_EQ(SubmissionError("sbatch: error: invalid partition specified: x"),
            absl::InvalidArgumentError("sbatch refuses the runs: sbatch: error: invalid partition specified: x\n"
                                       "  see slurm.partition; `sinfo` lists those there are"));
  EXPECT_THAT(SubmissionError("sbatch: error: Invalid --time specification").message(), HasSubstr("see slurm.time"));
  EXPECT_THAT(SubmissionError("sbatch: error: Memory specification can not be satisfied").message(),
              HasSubstr("see slurm.memory"));
  EXPECT_THAT(SubmissionError("sbatch: error: Invalid generic resource (gres) specification").message(),
              HasSubstr("see slurm.gpus"));
  EXPECT_THAT(SubmissionError("sbatch: error: Something else").message(), HasSubstr("see the section slurm"));
  for (const char* said : {"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
                           "sbatch: error: Batch job submission failed: Unable to contact slurm controller",
                           "sbatch: error: AssocMaxSubmitJobLimit"}) {
    EXPECT_EQ(SubmissionError(said), absl::UnavailableError(std::string("sbatch: ") + said));
  }
}

RunOutcome Failed(const std::string& code) {
  RunOutcome outcome;
  outcome.error = "fit: no";
  outcome.error_code = code;
  return outcome;
}

TEST(SlurmStatesTest, TheFolderSaysHowARunEndedAndSlurmWhyWhereItIsSilent) {
  RunOutcome ok;
  ok.ok = true;
  const absl::Status none = absl::NotFoundError("no result");
  const struct {
    const char *state, *reason;
    absl::StatusOr<RunOutcome> outcome;
    const char* message;  // "": it is done
    Retry retry;
  } kCases[] = {
      {"COMPLETED", "None", ok, "", Retry::kOnce},
      {"FAILED", "NonZeroExitCode", ok, "", Retry::kOnce},
      {"CANCELLED", "None", ok, "", Retry::kOnce},
      {"FAILED", "NonZeroExitCode", Failed("INTERNAL"), "fit: no", Retry::kOnce},
      {"FAILED", "NonZeroExitCode", Failed("NOT_FOUND"), "fit: no", Retry::kNever},
      {"FAILED", "NonZeroExitCode", none, "ended without a result; it printed last: 'bye'", Retry::kOnce},
      {"COMPLETED", "None", none, "ended without a result; it printed last: 'bye'", Retry::kOnce},
      {"PREEMPTED", "None", Failed("CANCELLED"), "was preempted", Retry::kAlways},
      {"NODE_FAIL", "None", none, "lost its machine", Retry::kAlways},
      {"TIMEOUT", "TimeLimit", Failed("CANCELLED"), "ran out of time; give it more with slurm.time", Retry::kOnce},
      {"OUT_OF_MEMORY", "OutOfMemory", none, "ran out of memory; give it more with slurm.memory", Retry::kNever},
      {"CANCELLED", "None", none, "was cancelled in the queue", Retry::kNever},
      {"CANCELLED", "DependencyNeverSatisfied", none, "a run whose values it uses has failed", Retry::kAlways},
      {kLost, "", none, "has left the queue without a result", Retry::kOnce},
  };
  for (const auto& example : kCases) {
    EXPECT_EQ(PhaseOf(example.state), Phase::kEnded);
    const auto ending = EndingOfTask(3, {"12", example.state, example.reason}, example.outcome, "hello\nbye\n", 100);
    ASSERT_TRUE(ending.has_value()) << example.state;
    EXPECT_EQ(ending->job, 3);
    EXPECT_EQ(ending->status.message(), example.message) << example.state;
    EXPECT_EQ(ending->retry, example.retry) << example.state;
  }
  EXPECT_EQ(EndingOfTask(0, {"12", "FAILED", ""}, none, "hello\nerror: no such file\n", 0)->status.message(),
            "no such file");
}

TEST(SlurmStatesTest, WhatMayChangeYetIsWaitedFor) {
  const absl::Status none = absl::NotFoundError("no result");
  EXPECT_FALSE(EndingOfTask(0, {"12", "COMPLETED", ""}, none, "", 59).has_value());
  EXPECT_TRUE(EndingOfTask(0, {"12", "COMPLETED", ""}, none, "", 60).has_value());
  EXPECT_FALSE(EndingOfTask(0, {"12", "PREEMPTED", ""}, none, "", 14).has_value());
  EXPECT_TRUE(EndingOfTask(0, {"12", "PREEMPTED", ""}, none, "", 15).has_value());
  EXPECT_TRUE(EndingOfTask(0, {"12", "FAILED", ""}, none, "", 0).has_value());
  for (const char* state : {"PENDING", "REQUEUED", "SPECIAL_EXIT", "SUSPENDED", "NEWER_THAN_THIS"}) {
    EXPECT_EQ(PhaseOf(state), Phase::kWaits) << state;
  }
  for (const char* state : {"RUNNING", "COMPLETING"}) EXPECT_EQ(PhaseOf(state), Phase::kRuns) << state;
}

TEST(SlurmRecordTest, HoldsWhatIsUnderWay) {
  const std::string folder = TestFolder("record");
  std::filesystem::create_directories(folder + "/slurm");
  EXPECT_TRUE(ReadSubmittedJobs(folder)->empty());
  std::vector<SubmittedJob> jobs = {
      {"qwt-a-1", "12", {{"w4", "p4"}, {"", "p3"}}}, {"qwt-a-2", "", {{"w2", "p2"}}}, {"qwt-a-3", "14", {{"", "p1"}}}};
  ASSERT_TRUE(WriteSubmittedJobs(folder, jobs).ok());
  const auto read = ReadSubmittedJobs(folder);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2);
  EXPECT_EQ((*read)[0].name, "qwt-a-1");
  EXPECT_EQ((*read)[0].job, "12");
  EXPECT_EQ((*read)[0].tasks[0].run, "w4");
  EXPECT_EQ((*read)[0].tasks[0].plan_sha256, "p4");
  EXPECT_EQ((*read)[0].tasks[1].run, "");
  EXPECT_EQ((*read)[1].job, "");

  MakeFile(folder + "/slurm/jobs.json", "{\"jobs\": [");
  const absl::Status damaged = ReadSubmittedJobs(folder).status();
  EXPECT_TRUE(absl::IsDataLoss(damaged));
  EXPECT_THAT(damaged.message(), HasSubstr(folder + "/slurm/jobs.json' is damaged"));
  for (SubmittedJob& job : jobs) {
    for (SubmittedTask& task : job.tasks) task.run.clear();
  }
  ASSERT_TRUE(WriteSubmittedJobs(folder, jobs).ok());
  EXPECT_FALSE(std::filesystem::exists(folder + "/slurm/jobs.json"));
}

TEST(SlurmRecordTest, NoTwoJobsHaveOneName) {
  EXPECT_THAT(NewJobName("bits"), testing::MatchesRegex("qwt-bits-[0-9a-f]{12}"));
  EXPECT_NE(NewJobName("bits"), NewJobName("bits"));
}

}  // namespace
}  // namespace qwt
