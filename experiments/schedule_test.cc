#include "experiments/schedule.h"

#include <deque>
#include <map>
#include <set>

#include "core/base/interrupt.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Runs end in the order they were started, with what is asked for; what a run makes is then stored.
class FakeRunner : public JobRunner {
 public:
  explicit FakeRunner(const std::vector<Job>& jobs) : jobs_(jobs) {}

  absl::Status Start(const StartOf& start) override {
    const int job = start.job;
    std::string line = std::string("start ") + std::to_string(job);
    if (start.attempt > 0) line += " again";
    if (start.slot > 0) line += " in slot " + std::to_string(start.slot);
    for (int other : start.after) line += " after " + std::to_string(other);
    log.push_back(line);
    if (not_started.erase(job) > 0) return absl::ResourceExhaustedError("no process to be had");
    running_.push_back(job);
    return absl::OkStatus();
  }

  std::optional<Ending> Poll() override {
    if (running_.empty()) return std::nullopt;
    const int job = running_.front();
    running_.pop_front();
    log.push_back("end " + std::to_string(job));
    if (interrupt_at == job) RequestInterrupt();
    if (stopped_) return Ending{job, absl::CancelledError("interrupted")};
    std::deque<Ending>& endings = failures[job];
    if (!endings.empty()) {
      const Ending ending = endings.front();
      endings.pop_front();
      return ending;
    }
    stored.insert(jobs_[job].keys.begin(), jobs_[job].keys.end());
    return Ending{job, absl::OkStatus()};
  }

  void StopAll() override {
    log.push_back("stop");
    stopped_ = true;
  }

  std::map<int, std::deque<Ending>> failures;  // by job, of its attempts
  std::set<int> not_started;
  std::set<std::string> stored;
  std::vector<std::string> log;
  int interrupt_at = -1;

 private:
  const std::vector<Job>& jobs_;
  std::deque<int> running_;
  bool stopped_ = false;
};

class ScheduleTest : public testing::Test {
 protected:
  ~ScheduleTest() override { ClearInterrupt(); }

  std::vector<JobResult> Run(int jobs, int64_t memory_bytes = 1000, bool queue = false) {
    const ScheduleOptions options = {jobs, memory_bytes,
                                     [&](const std::string& key) { return runner_.stored.count(key) > 0; }, queue};
    return RunJobs(jobs_, options, runner_, [&](const Ending& ending, bool last) {
      if (!last) not_last_.push_back(ending.job);
    });
  }

  std::vector<Job> jobs_;
  FakeRunner runner_{jobs_};
  std::vector<int> not_last_;
};

TEST_F(ScheduleTest, OneAtATimeInOrder) {
  jobs_ = {{{"a"}, {}, 5000}, {{"b"}, {}, 1}};
  Run(1);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "end 0", "start 1", "end 1"));
}

TEST_F(ScheduleTest, NoneStartsWhileAnotherComputesWhatItLacks) {
  jobs_ = {{{"calibrate", "fit 0"}}, {{"calibrate", "fit 1"}}, {{"other"}}};
  Run(2);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "start 2 in slot 1", "end 0", "start 1", "end 2", "end 1"));
}

TEST_F(ScheduleTest, WhatIsStoredKeepsNoneWaiting) {
  jobs_ = {{{"calibrate", "fit 0"}}, {{"calibrate", "fit 1"}}};
  runner_.stored = {"calibrate"};
  Run(2);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "start 1 in slot 1", "end 0", "end 1"));
}

TEST_F(ScheduleTest, NoneStartsWhileAnotherSumsWhatItCanUse) {
  jobs_ = {{{"fit 0"}, {"sums"}}, {{"fit 1"}, {"sums"}}};
  runner_.stored = {"sums"};  // of the first block: the others' are still being made
  Run(2);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "end 0", "start 1", "end 1"));
}

TEST_F(ScheduleTest, AllAtATimeHaveMemory) {
  jobs_ = {{{"a"}, {}, 600}, {{"b"}, {}, 600}, {{"c"}, {}, 300}};
  Run(3);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "start 2 in slot 1", "end 0", "start 1", "end 2", "end 1"));
}

TEST_F(ScheduleTest, AFailureIsTriedOnceMoreAndStopsNoOther) {
  jobs_ = {{{"a"}}, {{"b"}}, {{"c"}}};
  const absl::Status failed = absl::InternalError("signal 9");
  runner_.failures[0] = {{0, failed}};
  runner_.failures[1] = {{1, failed}, {1, failed}};
  const std::vector<JobResult> results = Run(1);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "end 0", "start 0 again", "end 0", "start 1", "end 1",
                                       "start 1 again", "end 1", "start 2", "end 2"));
  EXPECT_EQ(results[0].status, absl::OkStatus());
  EXPECT_EQ(results[1].status, failed);
  EXPECT_EQ(results[2].status, absl::OkStatus());
  EXPECT_THAT(not_last_, ElementsAre(0, 1));
}

TEST_F(ScheduleTest, TheUsersErrorIsNotTriedAgain) {
  jobs_ = {{{"a"}}, {{"b"}}};
  runner_.failures[0] = {{0, absl::InternalError("no such file"), Retry::kNever}};
  EXPECT_EQ(Run(1)[0].status, absl::InternalError("no such file"));
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "end 0", "start 1", "end 1"));
  EXPECT_THAT(not_last_, IsEmpty());
}

TEST_F(ScheduleTest, ARunThatCannotBeStartedIsTriedAgainToo) {
  jobs_ = {{{"a"}}};
  runner_.not_started = {0};
  EXPECT_EQ(Run(1)[0].status, absl::OkStatus());
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "start 0 again", "end 0"));
}

TEST_F(ScheduleTest, WhatFailedForNoFaultOfItsOwnIsNotCounted) {
  jobs_ = {{{"a"}}};
  const Ending preempted = {0, absl::InternalError("preempted"), Retry::kAlways};
  const Ending failed = {0, absl::InternalError("signal 9")};
  runner_.failures[0] = {preempted, preempted, failed, preempted, failed};
  EXPECT_EQ(Run(1)[0].status, failed.status);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "end 0", "start 0", "end 0", "start 0", "end 0", "start 0 again",
                                       "end 0", "start 0 again", "end 0"));
}

TEST_F(ScheduleTest, AQueueIsToldWhomEachWaitsFor) {
  jobs_ = {{{"calibrate", "fit 0"}}, {{"calibrate", "fit 1"}}, {{"other"}}, {{"calibrate", "fit 1", "x"}}};
  runner_.failures[0] = {{0, absl::InternalError("signal 9")}};
  Run(4, 0, /*queue=*/true);
  // The third run's calibration is the first's, not the second's, who waits for it as well.
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "start 1 in slot 1 after 0", "start 2 in slot 2",
                                       "start 3 in slot 3 after 0 after 1", "end 0", "start 0 again", "end 1", "end 2",
                                       "end 3", "end 0"));
}

TEST_F(ScheduleTest, AQueueIsToldWhoseSumsEachWaitsFor) {
  jobs_ = {{{"fit 0"}, {"sums"}}, {{"fit 1"}, {"sums"}}, {{"fit 2"}, {"sums"}}};
  Run(3, 0, /*queue=*/true);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "start 1 in slot 1 after 0", "start 2 in slot 2 after 0", "end 0",
                                       "end 1", "end 2"));
}

TEST_F(ScheduleTest, AnInterruptStopsWhatRunsAndStartsNoOther) {
  jobs_ = {{{"a"}}, {{"b"}}, {{"c"}}};
  runner_.interrupt_at = 0;
  const std::vector<JobResult> results = Run(2);
  EXPECT_THAT(runner_.log, ElementsAre("start 0", "start 1 in slot 1", "end 0", "stop", "end 1"));
  EXPECT_TRUE(results[0].done);
  EXPECT_FALSE(results[1].done);
  EXPECT_FALSE(results[2].done);
}

}  // namespace
}  // namespace qwt
