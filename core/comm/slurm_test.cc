#include "core/comm/slurm.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace qwt {
namespace {

using Variables = std::map<std::string, std::string>;

const Variables kStep = {{"SLURM_STEP_ID", "3"},   {"SLURM_PROCID", "5"},
                         {"SLURM_NTASKS", "8"},    {"SLURM_LOCALID", "1"},
                         {"SLURM_NODEID", "2"},    {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1(x2)"},
                         {"SLURM_JOB_ID", "1234"}, {"SLURM_STEP_NODELIST", "gpu[003-010,12]"}};

absl::StatusOr<Variables> With(const Variables& changed) {
  for (const char* name : {"SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID",
                           "SLURM_NODEID", "SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE",
                           "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_JOB_ID"}) {
    unsetenv(name);
  }
  Variables variables = kStep;
  for (const auto& [name, value] : changed) variables[name] = value;
  for (const auto& [name, value] : variables) {
    if (!value.empty()) setenv(name.c_str(), value.c_str(), 1);
  }
  return SlurmVariables();
}

TEST(SlurmTest, TellsEverything) {
  EXPECT_EQ(*With({}), (Variables{{"RANK", "5"},
                                  {"WORLD_SIZE", "8"},
                                  {"LOCAL_RANK", "1"},
                                  {"LOCAL_WORLD_SIZE", "2"},
                                  {"MASTER_ADDR", "gpu003"},
                                  {"MASTER_PORT", "11537"}}));  // 10000 + 1234 + 101 * 3
}

TEST(SlurmTest, OutsideAStepOfSeveralTasksThereIsNothing) {
  EXPECT_TRUE(With({{"SLURM_STEP_ID", ""}, {"SLURM_STEP_NODELIST", ""}})->empty());  // sbatch's script itself
  EXPECT_TRUE(With({{"SLURM_NTASKS", "1"}})->empty());
  EXPECT_TRUE(With({{"SLURM_STEP_NUM_TASKS", "1"}})->empty());  // a shell in an allocation of eight
}

TEST(SlurmTest, TheFirstHost) {
  const Variables kHosts = {{"node1", "node1"},
                            {"node1,node2", "node1"},
                            {"node[1-2]", "node1"},
                            {"node[12,3]", "node12"},
                            {"node[003-010,12],other[1-2]", "node003"},
                            {"a-b.example[07]", "a-b.example07"},
                            {"rack[1-2]n[3-4],x", "rack1n3"},
                            {"rack[1-2]n5", "rack1n5"}};
  for (const auto& [list, host] : kHosts) EXPECT_EQ((*With({{"SLURM_STEP_NODELIST", list}}))["MASTER_ADDR"], host);
  EXPECT_EQ((*With({{"SLURM_STEP_NODELIST", ""}, {"SLURM_JOB_NODELIST", "n[4-5]"}}))["MASTER_ADDR"], "n4");
}

TEST(SlurmTest, TasksOfThisNode) {
  const Variables kTasks = {{"0", "2"}, {"2", "2"}, {"3", "1"}, {"4", "1"}};
  for (const auto& [node, tasks] : kTasks) EXPECT_EQ((*With({{"SLURM_NODEID", node}}))["LOCAL_WORLD_SIZE"], tasks);
  const Variables kNone = {{"SLURM_STEP_TASKS_PER_NODE", ""}};
  EXPECT_EQ(With(kNone)->count("LOCAL_WORLD_SIZE"), 0u);
  Variables each = kNone;
  each["SLURM_NTASKS_PER_NODE"] = "4";
  EXPECT_EQ((*With(each))["LOCAL_WORLD_SIZE"], "4");
}

TEST(SlurmTest, JobsAndStepsHavePortsOfTheirOwn) {
  EXPECT_EQ((*With({{"SLURM_JOB_ID", "20000"}, {"SLURM_STEP_ID", "0"}}))["MASTER_PORT"], "10000");
  EXPECT_EQ((*With({{"SLURM_JOB_ID", "39999"}, {"SLURM_STEP_ID", "0"}}))["MASTER_PORT"], "29999");
  EXPECT_EQ((*With({{"SLURM_JOB_ID", "39999"}, {"SLURM_STEP_ID", "1"}}))["MASTER_PORT"], "10100");
}

TEST(SlurmTest, AWrongOneIsNamedWithWhatIsAllowed) {
  const struct {
    const char *name, *value, *allowed;
  } kCases[] = {{"SLURM_NTASKS", "many", "a number of tasks"},
                {"SLURM_PROCID", "8", "a number from 0 to 7"},
                {"SLURM_PROCID", "x", "a number from 0 to 7"},
                {"SLURM_NODEID", "x", "a number"},
                {"SLURM_STEP_TASKS_PER_NODE", "2(x", "tasks of each node, as '2(x3),1', up to node 2"},
                {"SLURM_STEP_TASKS_PER_NODE", "4(x2)", "tasks of each node, as '2(x3),1', up to node 2"},
                {"SLURM_STEP_NODELIST", "node[", "a list of hosts, as 'node[003-010,12]'"},
                {"SLURM_STEP_NODELIST", "node[003", "a list of hosts, as 'node[003-010,12]'"},
                {"SLURM_JOB_ID", "-1", "a number"},
                {"SLURM_STEP_ID", "x", "a number"}};
  for (const auto& wrong : kCases) {
    EXPECT_EQ(
        With({{wrong.name, wrong.value}}).status(),
        absl::InvalidArgumentError(std::string(wrong.name) + " is '" + wrong.value + "', must be " + wrong.allowed));
  }
}

}  // namespace
}  // namespace qwt
