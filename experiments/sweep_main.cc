// bazel run //experiments:sweep -- MANIFEST [key.path=value ...] [--out=DIR] [--launcher=slurm] [--jobs=N] [--nproc=N]
// [--dry_run]
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "experiments/processes.h"
#include "experiments/sweep.h"
#include "pipelines/exit_code.h"
#include "pipelines/home.h"
#include "pipelines/run_command.h"

int main(int argc, char** argv) {
  if (qwt::IsRunOfSweep()) return qwt::RunCommand(argc, argv);
  CLI::App app{
      "Runs every setting of a manifest; what they share is computed once, and the same command goes on where one was "
      "stopped.\nExit codes: 0 all runs are done, 1 some failed, 2 the request was wrong, 130 interrupted."};
  qwt::SweepArguments arguments;
  app.add_option("manifest", arguments.manifest, "A manifest; docs/experiments.md says what may stand in it.")
      ->required();
  app.add_option("overrides", arguments.overrides,
                 "key.path=value: replaces one value of every run's config; slurm.KEY=value: of the manifest's slurm.");
  app.add_option("--out", arguments.out, "The sweep's folder (default: runs/NAME).")->take_last();
  app.add_option("--launcher", arguments.launcher,
                 "Where runs run: local, processes of this machine, or slurm, jobs of a cluster (default: local).")
      ->transform(CLI::CheckedTransformer(std::map<std::string, qwt::Launcher>{{"local", qwt::Launcher::kLocal},
                                                                               {"slurm", qwt::Launcher::kSlurm}})
                      .description("local|slurm"))
      ->take_last();
  app.add_option("--jobs", arguments.jobs,
                 "Runs at a time (default: 1, where memory allows; with --launcher=slurm as many as it starts).")
      ->check(CLI::Range(1, 1024))
      ->take_last();
  app.add_option("--nproc", arguments.ranks, "Ranks of each run on this machine (default: runtime.ranks).")
      ->check(CLI::Range(1, 1024))
      ->take_last();
  app.add_flag("--dry_run", arguments.dry_run,
               "Only say what would be done: runs, what they share, what the store has, time and memory.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? qwt::kDone : qwt::kRequestWrong;
  }
  qwt::SetHome(argv[0]);
  if (const absl::Status prepared = qwt::PrepareRuns(qwt::RunCommand); !prepared.ok()) {
    std::cerr << "error: " << prepared.message() << std::endl;
    return qwt::kRunFailed;
  }
  qwt::InitLogging(argv[0]);
  qwt::InstallInterruptHandler();
  return qwt::RunSweep(arguments);
}
