#include "core/comm/rank_settings.h"

#include <cstdlib>
#include <map>
#include <string>

#include "gtest/gtest.h"

namespace qwt {
namespace {

using Variables = std::map<std::string, std::string>;

const Variables kGood = {{"RANK", "2"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29500"}};

absl::StatusOr<RankSettings> SettingsOf(const Variables& variables) {
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
                           "QWT_COMM_TIMEOUT_SECONDS"}) {
    unsetenv(name);
  }
  for (const char* name :
       {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID", "SLURM_NODEID", "SLURM_TASKS_PER_NODE",
        "SLURM_NTASKS_PER_NODE", "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_JOB_ID"}) {
    unsetenv(name);
  }
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  return RankSettingsFromEnvironment();
}

TEST(RankSettingsTest, OneRankWhereNothingOrOneIsAskedFor) {
  EXPECT_EQ(SettingsOf({})->size, 1);
  EXPECT_EQ(SettingsOf({{"RANK", "0"}, {"MASTER_ADDR", "node7"}})->size, 1);
  EXPECT_EQ(SettingsOf({{"WORLD_SIZE", "1"}})->size, 1);
}

TEST(RankSettingsTest, ReadsAllOfThem) {
  Variables variables = kGood;
  absl::StatusOr<RankSettings> settings = SettingsOf(variables);
  ASSERT_EQ(settings.status(), absl::OkStatus());
  EXPECT_EQ(settings->rank, 2);
  EXPECT_EQ(settings->size, 3);
  EXPECT_EQ(settings->master_address, "node7");
  EXPECT_EQ(settings->master_port, 29500);
  EXPECT_EQ(settings->timeout_seconds, 300);
  variables["QWT_COMM_TIMEOUT_SECONDS"] = "7";
  EXPECT_EQ(SettingsOf(variables)->timeout_seconds, 7);
}

TEST(RankSettingsTest, ThePlaceOnTheMachine) {
  const struct {
    Variables more;
    int local_rank, local_size;
  } kCases[] = {
      {{}, 0, 1},  // another machine's loop would set LOCAL_RANK where several ranks share one
      {{{"LOCAL_RANK", "1"}}, 1, 2},
      {{{"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "3"}}, 1, 3},
      {{{"MASTER_ADDR", "127.0.0.1"}}, 2, 3},  // nobody else can reach that
      {{{"MASTER_ADDR", "localhost"}, {"LOCAL_WORLD_SIZE", "2"}}, 0, 2},
  };
  for (const auto& place : kCases) {
    Variables variables = kGood;
    for (const auto& [name, value] : place.more) variables[name] = value;
    const absl::StatusOr<RankSettings> settings = SettingsOf(variables);
    ASSERT_EQ(settings.status(), absl::OkStatus());
    EXPECT_EQ(settings->local_rank, place.local_rank);
    EXPECT_EQ(settings->local_size, place.local_size);
  }
}

const Variables kSlurm = {{"SLURM_STEP_ID", "0"},
                          {"SLURM_PROCID", "2"},
                          {"SLURM_NTASKS", "3"},
                          {"SLURM_LOCALID", "0"},
                          {"SLURM_NODEID", "1"},
                          {"SLURM_TASKS_PER_NODE", "2,1"},
                          {"SLURM_STEP_NODELIST", "node[007-008]"},
                          {"SLURM_JOB_NODELIST", "node[006-008]"},
                          {"SLURM_JOB_ID", "41"}};

TEST(RankSettingsTest, AStepOfSlurm) {
  absl::StatusOr<RankSettings> settings = SettingsOf(kSlurm);
  ASSERT_EQ(settings.status(), absl::OkStatus());
  EXPECT_EQ(settings->rank, 2);
  EXPECT_EQ(settings->size, 3);
  EXPECT_EQ(settings->local_rank, 0);
  EXPECT_EQ(settings->local_size, 1);
  EXPECT_EQ(settings->master_address, "node007");
  EXPECT_EQ(settings->master_port, 10041);
  EXPECT_TRUE(HasLauncher());
}

TEST(RankSettingsTest, WhatIsSetWinsOverSlurm) {
  Variables variables = kSlurm;
  variables["MASTER_ADDR"] = "10.0.0.1";
  variables["MASTER_PORT"] = "5000";
  absl::StatusOr<RankSettings> settings = SettingsOf(variables);
  ASSERT_EQ(settings.status(), absl::OkStatus());
  EXPECT_EQ(settings->rank, 2);
  EXPECT_EQ(settings->master_address, "10.0.0.1");
  EXPECT_EQ(settings->master_port, 5000);
  // A launcher in each task: the ranks are its own.
  for (const auto& [name, value] : kGood) variables[name] = value;
  variables["RANK"] = "1";
  settings = SettingsOf(variables);
  ASSERT_EQ(settings.status(), absl::OkStatus());
  EXPECT_EQ(settings->rank, 1);
  EXPECT_EQ(settings->master_address, "node7");
}

TEST(RankSettingsTest, AJobWithoutSrunIsOneProcess) {
  Variables variables = kSlurm;
  variables.erase("SLURM_STEP_ID");
  variables.erase("SLURM_STEP_NODELIST");
  EXPECT_EQ(SettingsOf(variables)->size, 1);
  EXPECT_FALSE(HasLauncher());
}

TEST(RankSettingsTest, AWrongOneIsNamedWithWhatIsAllowed) {
  const struct {
    const char *name, *value, *message;
  } kCases[] = {
      {"RANK", "3", "RANK is '3', must be a number from 0 to 2"},
      {"RANK", "-1", "RANK is '-1', must be a number from 0 to 2"},
      {"RANK", "", "RANK is '', must be a number from 0 to 2"},
      {"WORLD_SIZE", "0", "WORLD_SIZE is '0', must be a number from 1 to 1000000"},
      {"WORLD_SIZE", "two", "WORLD_SIZE is 'two', must be a number from 1 to 1000000"},
      {"MASTER_PORT", "0", "MASTER_PORT is '0', must be a number from 1 to 65535"},
      {"MASTER_PORT", "65536", "MASTER_PORT is '65536', must be a number from 1 to 65535"},
      {"MASTER_ADDR", "", "MASTER_ADDR is not set, must be the host name or address of rank 0"},
      {"QWT_COMM_TIMEOUT_SECONDS", "0", "QWT_COMM_TIMEOUT_SECONDS is '0', must be a number from 1 to 1000000"},
  };
  for (const auto& wrong : kCases) {
    Variables variables = kGood;
    variables[wrong.name] = wrong.value;
    EXPECT_EQ(SettingsOf(variables).status(), absl::InvalidArgumentError(wrong.message));
  }
}

TEST(RankSettingsTest, AMissingOneIsNamed) {
  const std::map<std::string, std::string> kMessages = {
      {"RANK", "RANK is not set, must be a number from 0 to 2"},
      {"MASTER_PORT", "MASTER_PORT is not set, must be a number from 1 to 65535"},
      {"MASTER_ADDR", "MASTER_ADDR is not set, must be the host name or address of rank 0"}};
  for (const auto& [name, message] : kMessages) {
    Variables variables = kGood;
    variables.erase(name);
    EXPECT_EQ(SettingsOf(variables).status(), absl::InvalidArgumentError(message));
  }
}

TEST(FreePortTest, IsAPort) {
  absl::StatusOr<int> port = FreePort();
  ASSERT_EQ(port.status(), absl::OkStatus());
  EXPECT_GT(*port, 0);
  EXPECT_LE(*port, 65535);
}

}  // namespace
}  // namespace qwt
