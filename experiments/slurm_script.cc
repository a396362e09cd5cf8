#include "experiments/slurm_script.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "experiments/processes.h"

namespace qwt {
namespace {

std::string ShellWord(const std::string& word) {
  bool plain = !word.empty();
  for (const char c : word) plain &= absl::ascii_isalnum(c) || absl::StrContains("-_=+./,:@%", c);
  return plain ? word : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

}  // namespace

std::string ShellWords(const std::vector<std::string>& words) {
  return absl::StrJoin(words, " ", [](std::string* out, const std::string& word) { *out += ShellWord(word); });
}

std::string ScriptPath(const ArrayJob& job) { return absl::StrCat(job.folder, "/slurm/", job.name, ".sh"); }

std::vector<std::string> SbatchCommand(const ArrayJob& job) {
  std::string array = absl::StrCat("--array=0-", job.tasks.size() - 1);
  if (job.at_a_time > 0) absl::StrAppend(&array, "%", job.at_a_time);
  // In the name of an output file "%" begins a pattern.
  const std::string folder = absl::StrReplaceAll(job.folder, {{"%", "%%"}});
  std::vector<std::string> command = {"sbatch",
                                      "--parsable",
                                      "--job-name=" + job.name,
                                      array,
                                      "--chdir=" + job.folder,
                                      absl::StrCat("--output=", folder, "/slurm/", job.name, "_%a.log"),
                                      "--open-mode=append",
                                      "--requeue"};
  command.insert(command.end(), job.flags.begin(), job.flags.end());
  if (!job.after.empty()) {
    // Not afterany: what a failed run did not compute, all that wait for it would.
    command.push_back("--dependency=afterok:" + absl::StrJoin(job.after, ":"));
    command.push_back("--kill-on-invalid-dep=yes");
  }
  command.push_back(ScriptPath(job));
  return command;
}

std::string ArrayScript(const ArrayJob& job) {
  std::string text = absl::StrCat("#!/bin/bash\n# Made by //experiments:sweep, which submitted it by\n#   ",
                                  ShellWords(SbatchCommand(job)), "\n");
  absl::StrAppend(&text, "export ", kMarkOfSweep, "=1 QWT_HOME=", ShellWord(job.home), "\n");
  text += "case $SLURM_ARRAY_TASK_ID in\n";
  for (size_t i = 0; i < job.tasks.size(); ++i) {
    const ArrayTask& task = job.tasks[i];
    absl::StrAppend(&text, i, ")  # ", task.run, "\n  log=", ShellWord(task.log), "\n  run=(",
                    ShellWords(task.arguments), ") ;;\n");
  }
  text += "esac\nexec >>\"$log\" 2>&1 || exit\n";
  for (const std::string& line : job.setup) absl::StrAppend(&text, line, "\n");
  // exec: SLURM's signals reach the run itself.
  absl::StrAppend(&text, "exec ", job.srun ? "srun --kill-on-bad-exit=1 " : "", ShellWord(job.program),
                  " \"${run[@]}\"\n");
  return text;
}

}  // namespace qwt
