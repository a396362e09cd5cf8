#include "pipelines/run_command.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/comm/launcher.h"
#include "core/comm/rank_settings.h"
#include "pipelines/home.h"
#include "pipelines/runner.h"

namespace qwt {

int RunCommand(int argc, char** argv) {
  CLI::App app{
      "Quantises a network, fits its compensation and evaluates it, as a config says.\n"
      "Exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 interrupted."};
  RunArguments arguments;
  int ranks = 0;
  app.add_option("config", arguments.config, "A config file; docs/config.md has every key.")->required();
  app.add_option("overrides", arguments.overrides, "key.path=value: replaces one value of the config.");
  app.add_option("--out", arguments.out, "The run's folder (default: runs/NAME/TIME).")->take_last();
  app.add_option("--nproc", ranks, "Ranks to start on this machine (default: runtime.ranks).")
      ->check(CLI::Range(1, 1024))
      ->take_last();
  app.add_flag("--dry_run", arguments.dry_run,
               "Only say what would be done: stages, images, memory, what the store has.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kRequestWrong;
  }
  InitLogging(argv[0]);
  SetHome(argv[0]);
  if (!HasLauncher()) {
    if (ranks == 0) ranks = RanksToStart(arguments);
    if (ranks > 1) return LaunchLocalRanks(ranks, argv);
  }
  InstallInterruptHandler();
  return Run(arguments);
}

}  // namespace qwt
