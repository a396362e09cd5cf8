#include "experiments/slurm_arrays.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "experiments/launch.h"
#include "experiments/slurm_options.h"
#include "pipelines/home.h"

namespace qwt {
namespace {

constexpr size_t kMostTasks = 1000;  // MaxArraySize is 1001 unless a cluster says otherwise
constexpr char kProgram[] = "/proc/self/exe";

std::string ProgramPath(const std::string& folder) {
  static const auto* hash = new std::string(Sha256(ReadFile(kProgram).value_or("")).substr(0, 12));
  return absl::StrCat(folder, "/slurm/sweep-", *hash);
}

// Takes down what it is asked to start, and ends each well.
class Listing : public JobRunner {
 public:
  absl::Status Start(const StartOf& start) override {
    starts.push_back(start);
    return absl::OkStatus();
  }
  std::optional<Ending> Poll() override { return Ending{starts[ended_++].job, absl::OkStatus()}; }
  void StopAll() override {}
  std::vector<StartOf> starts;

 private:
  size_t ended_ = 0;
};

}  // namespace

std::vector<StartOf> TakeAlike(std::vector<StartOf>* starting) {
  std::vector<StartOf> alike, others;
  for (const StartOf& start : *starting) {
    const bool first = alike.empty();
    (first || (start.after == alike[0].after && alike.size() < kMostTasks) ? alike : others).push_back(start);
  }
  *starting = std::move(others);
  return alike;
}

ArrayJob MakeArrayJob(const std::string& name, const std::string& folder, const std::vector<const SweepRun*>& runs,
                      const std::vector<std::string>& after, const SweepArguments& arguments, const Options& slurm) {
  ArrayJob job;
  job.name = name;
  job.folder = folder;
  const int threads = slurm.Has("cpus") ? slurm.Int("cpus") / std::max(1, arguments.ranks) : 0;
  for (const SweepRun* run : runs) {
    const std::string path = absl::StrCat(folder, "/", run->folder);
    job.tasks.push_back({run->name, ArgumentsOf(*run, path, threads, arguments.ranks), path + "/output.log"});
  }
  job.at_a_time = arguments.jobs;
  job.after = after;
  job.flags = SbatchFlags(slurm);
  job.setup = slurm.Strings("setup");
  job.program = ProgramPath(folder);
  job.home = std::filesystem::absolute(HomeFolder()).string();
  job.srun = slurm.Int("ranks") > 1;
  return job;
}

absl::Status CopyProgram(const std::string& folder) {
  const std::string path = ProgramPath(folder);
  std::error_code error;
  std::filesystem::create_directories(folder + "/slurm", error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("make folder '", folder, "/slurm'"));
  if (!std::filesystem::exists(path, error)) {
    QWT_ASSIGN_OR_RETURN(const std::string program, ReadFile(kProgram));
    QWT_RETURN_IF_ERROR(WriteFileAtomically(path, program));
  }
  return chmod(path.c_str(), 0755) == 0 ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("chmod '", path, "'"));
}

std::string DescribeArrays(const std::string& folder, const Sweep& sweep, const std::vector<Job>& jobs,
                           const ScheduleOptions& options, const SweepArguments& arguments) {
  Listing listing;
  RunJobs(jobs, options, listing, [](const Ending&, bool) {});
  std::map<int, std::string> tasks;  // "JOB1_0", by run
  std::string text;
  for (int number = 1; !listing.starts.empty(); ++number) {
    const std::vector<StartOf> alike = TakeAlike(&listing.starts);
    std::vector<const SweepRun*> runs;
    std::vector<std::string> after;
    for (int job : alike[0].after) after.push_back(tasks[job]);
    for (const StartOf& start : alike) {
      tasks[start.job] = absl::StrCat("JOB", number, "_", runs.size());
      runs.push_back(&sweep.runs[start.job]);
    }
    const ArrayJob job =
        MakeArrayJob(absl::StrCat("qwt-", sweep.name, "-", number), folder, runs, after, arguments, sweep.slurm);
    absl::StrAppend(&text, "\n--- ", ScriptPath(job), "\n", ArrayScript(job));
  }
  return text;
}

}  // namespace qwt
