#include "experiments/slurm_options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace qwt {
namespace {

// Options of text that sbatch knows by another name or by the same.
const std::vector<std::pair<std::string, std::string>>& TextFlags() {
  static const auto* flags = new std::vector<std::pair<std::string, std::string>>{
      {"partition", "--partition="}, {"account", "--account="}, {"qos", "--qos="},
      {"time", "--time="},           {"memory", "--mem="},      {"gpus", "--gres=gpu:"}};
  return *flags;
}

// What the sweep itself says to sbatch, and what would hide its jobs from it.
const std::vector<std::string>& OwnFlags() {
  static const auto* flags = new std::vector<std::string>{
      "--array",    "-a", "--job-name",   "-J",          "--output",    "-o",
      "--error",    "-e", "--chdir",      "-D",          "--wrap",      "--cluster",
      "--clusters", "-M", "--wait",       "-W",          "--parsable",  "-d",
      "--hold",     "-H", "--dependency", "--open-mode", "--test-only", "--kill-on-invalid-dep"};
  return *flags;
}

}  // namespace

Schema SlurmSchema() {
  return {{
      Option::String("partition", "Where runs are queued; sbatch's default where it is left out, as with all of these.")
          .Default(""),
      Option::String("account", "Whom the time is charged to.").Default(""),
      Option::String("qos", "Quality of service.").Default(""),
      Option::String("time", "The limit of each run: minutes, H:MM:SS or D-HH:MM:SS.").Default(""),
      Option::String("memory", "Of each run, on each machine: 16G.").Default(""),
      Option::String("gpus", "Of each run, on each machine: 1, or with a type a100:2.").Default(""),
      Option::Int("cpus", "Cores of each rank; runtime.threads is as many where it is not given.")
          .Range(1, 4096)
          .Optional(),
      Option::Int("ranks",
                  "Ranks of each run, started by srun; with 1 the run starts its ranks itself, on one machine.")
          .Range(1, 65536)
          .Default("1"),
      Option::Int("nodes", "Machines that the ranks of a run are spread over.").Range(1, 65536).Optional(),
      Option::Strings("flags", "More of sbatch's options: [--constraint=a100, --exclusive].").Default("[]"),
      Option::Strings("setup", "Lines of shell before each run: [module load cuda].").Default("[]"),
  }};
}

Options CheckSlurm(const ConfigNode& section, Problems* problems) {
  const size_t before = problems->lines().size();
  const Options options = CheckOptions(section, SlurmSchema(), problems);
  if (problems->lines().size() != before) return options;
  for (const std::string& flag : options.Strings("flags")) {
    const std::string name = absl::StartsWith(flag, "--") ? flag.substr(0, flag.find('=')) : flag.substr(0, 2);
    if (!absl::StartsWith(flag, "-")) {
      problems->Add(options.Where("flags"), absl::StrCat("'", flag, "' must begin with '-', as --constraint=a100"));
    } else if (std::count(OwnFlags().begin(), OwnFlags().end(), name) > 0) {
      problems->Add(options.Where("flags"), absl::StrCat("cannot hold ", name, ", which is the sweep's to say"));
    }
  }
  return options;
}

std::vector<std::string> SbatchFlags(const Options& slurm) {
  std::vector<std::string> flags;
  for (const auto& [option, flag] : TextFlags()) {
    if (!slurm.String(option).empty()) flags.push_back(flag + slurm.String(option));
  }
  if (slurm.Has("nodes")) flags.push_back(absl::StrCat("--nodes=", slurm.Int("nodes")));
  flags.push_back(absl::StrCat("--ntasks=", slurm.Int("ranks")));
  if (slurm.Has("cpus")) flags.push_back(absl::StrCat("--cpus-per-task=", slurm.Int("cpus")));
  for (const std::string& flag : slurm.Strings("flags")) flags.push_back(flag);
  return flags;
}

}  // namespace qwt
