#include "core/comm/slurm.h"

#include <cstdlib>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "core/base/status.h"

namespace qwt {
namespace {

// The first of these variables that is set and not empty.
struct Variable {
  std::string name, value;
};
std::optional<Variable> FirstOf(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const char* value = std::getenv(name.c_str());
    if (value != nullptr && *value != '\0') return Variable{name, value};
  }
  return std::nullopt;
}

absl::Status Wrong(const Variable& variable, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat(variable.name, " is '", variable.value, "', must be ", allowed));
}

// "node[003-010,12],other7" -> "node003"; "" where it is no list of hosts.
std::string FirstHost(absl::string_view list) {
  const size_t end = list.find_first_of(",[");
  const absl::string_view prefix = list.substr(0, end);
  if (end == absl::string_view::npos || list[end] == ',') return std::string(prefix);
  const absl::string_view numbers = list.substr(end + 1);
  const size_t number_end = numbers.find_first_of("-,]");
  if (number_end == 0 || number_end == absl::string_view::npos) return "";
  // What follows the brackets is part of the name ("rack[1-2]n5", "rack[1-2]n[3-4]").
  const size_t close = numbers.find(']');
  if (close == absl::string_view::npos) return "";
  const absl::string_view rest = numbers.substr(close + 1);
  const std::string tail = rest.empty() || rest[0] == ',' ? "" : FirstHost(rest);
  return absl::StrCat(prefix, numbers.substr(0, number_end), tail);
}

// "2(x3),1" -> tasks of node `node`: 2 for the first three, 1 for the fourth; 0 where it says nothing of that node.
int TasksOfNode(absl::string_view text, int node) {
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> words = absl::StrSplit(part, absl::MaxSplits("(x", 1));
    int tasks = 0, repeats = 1;
    if (!absl::SimpleAtoi(words[0], &tasks) || tasks < 1) return 0;
    if (words.size() == 2 && (words[1].empty() || words[1].back() != ')' ||
                              !absl::SimpleAtoi(words[1].substr(0, words[1].size() - 1), &repeats))) {
      return 0;
    }
    if (node < repeats) return tasks;
    node -= repeats;
  }
  return 0;
}

// Ports from 10000 to 29999: below those that the kernel gives to connections.
std::string PortOf(int64_t job, int64_t step) { return absl::StrCat(10000 + (job + 101 * step) % 20000); }

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> SlurmVariables() {
  std::map<std::string, std::string> found;
  // srun alone sets these; SLURM_NTASKS is set for a whole job, too.
  if (!FirstOf({"SLURM_STEP_ID", "SLURM_STEP_NODELIST"})) return found;
  const auto tasks = FirstOf({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
  const auto rank = FirstOf({"SLURM_PROCID"});
  if (!tasks || !rank) return found;
  int size = 0;
  if (!absl::SimpleAtoi(tasks->value, &size) || size < 1) return Wrong(*tasks, "a number of tasks");
  if (size == 1) return found;
  int number = 0;
  if (!absl::SimpleAtoi(rank->value, &number) || number < 0 || number >= size) {
    return Wrong(*rank, absl::StrCat("a number from 0 to ", size - 1));
  }
  found["WORLD_SIZE"] = tasks->value;
  found["RANK"] = rank->value;
  if (const auto local = FirstOf({"SLURM_LOCALID"})) found["LOCAL_RANK"] = local->value;

  if (const auto per_node = FirstOf({"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE"})) {
    const auto node = FirstOf({"SLURM_NODEID"});
    int index = 0;
    if (node && !absl::SimpleAtoi(node->value, &index)) return Wrong(*node, "a number");
    // SLURM_NTASKS_PER_NODE is one number, of every node.
    const int local_size = TasksOfNode(per_node->value, per_node->name == "SLURM_NTASKS_PER_NODE" ? 0 : index);
    if (local_size == 0) return Wrong(*per_node, absl::StrCat("tasks of each node, as '2(x3),1', up to node ", index));
    found["LOCAL_WORLD_SIZE"] = absl::StrCat(local_size);
  }
  if (const auto nodes = FirstOf({"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"})) {
    found["MASTER_ADDR"] = FirstHost(nodes->value);
    if (found["MASTER_ADDR"].empty()) return Wrong(*nodes, "a list of hosts, as 'node[003-010,12]'");
  }
  if (const auto job = FirstOf({"SLURM_JOB_ID"})) {
    int64_t id = 0, step_id = 0;
    if (!absl::SimpleAtoi(job->value, &id) || id < 0) return Wrong(*job, "a number");
    const auto step = FirstOf({"SLURM_STEP_ID"});
    if (step && (!absl::SimpleAtoi(step->value, &step_id) || step_id < 0)) return Wrong(*step, "a number");
    found["MASTER_PORT"] = PortOf(id, step_id);
  }
  return found;
}

}  // namespace qwt
