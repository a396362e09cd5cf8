// The command line of //pipelines:run, which //experiments:sweep starts its runs with too.
#pragma once

namespace qwt {

// CONFIG [key.path=value ...] [--nproc=N] [--out=DIR] [--dry_run] -> the program's exit code. Starts this machine's
// ranks as copies of the running program with the same arguments.
int RunCommand(int argc, char** argv);

}  // namespace qwt
