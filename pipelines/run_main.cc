// bazel run //pipelines:run -- CONFIG [key.path=value ...] [--nproc=N] [--out=DIR] [--dry_run]
#include "pipelines/run_command.h"

int main(int argc, char** argv) { return qwt::RunCommand(argc, argv); }
