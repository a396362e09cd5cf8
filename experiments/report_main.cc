// Writes the report of a sweep or a run anew from what it left.
//   ./bazelw run //experiments:report -- FOLDER
#include <CLI/CLI.hpp>
#include <iostream>

#include "core/base/paths.h"
#include "experiments/report.h"
#include "pipelines/exit_code.h"

int main(int argc, char** argv) {
  CLI::App app("Writes the tables and the page of a sweep, or of a single run, from the files that it left.");
  std::string folder;
  app.add_option("folder", folder, "The folder of a sweep (sweep.json) or of a run (result.json).")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? qwt::kDone : qwt::kRequestWrong;
  }
  folder = qwt::AbsolutePath(folder);
  if (const absl::Status status = qwt::WriteSweepReport(folder); !status.ok()) {
    std::cerr << "error: " << status.message() << std::endl;
    return absl::IsNotFound(status) ? qwt::kRequestWrong : qwt::kRunFailed;
  }
  std::cout << "written to " << folder << ": table.csv, table.md, table.tex, times.*, report.html" << std::endl;
  return qwt::kDone;
}
