#include "experiments/report.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/status.h"
#include "experiments/sweep_page.h"
#include "experiments/sweep_results.h"
#include "experiments/sweep_tables.h"
#include "pipelines/report.h"

namespace qwt {
namespace {

absl::Status WriteTable(const std::string& path, const ResultTable& table) {
  QWT_RETURN_IF_ERROR(WriteFileAtomically(path + ".csv", ToCsv(table)));
  QWT_RETURN_IF_ERROR(WriteFileAtomically(path + ".md", ToMarkdown(table)));
  return WriteFileAtomically(path + ".tex", ToLatex(table));
}

}  // namespace

absl::Status WriteSweepReport(const std::string& folder) {
  std::error_code error;
  const bool many = std::filesystem::exists(folder + "/sweep.json", error);
  if (!many && !std::filesystem::exists(folder + "/result.json", error)) {
    return absl::NotFoundError(absl::StrCat("'", folder,
                                            "' has neither sweep.json nor result.json; give the folder of a sweep or "
                                            "of a run"));
  }
  QWT_ASSIGN_OR_RETURN(const SweepResults sweep, many ? ReadSweep(folder) : ReadSingleRun(folder));
  QWT_RETURN_IF_ERROR(WriteTable(folder + "/table", AccuracyTable(sweep)));
  QWT_RETURN_IF_ERROR(WriteTable(folder + "/times", TimesTable(sweep)));
  const std::string html = many ? SweepToHtml(sweep, CompareNeighbours(folder, sweep))
                                : ResultToHtml(*sweep.runs[0].result, sweep.runs[0].config_yaml);
  return WriteFileAtomically(folder + "/report.html", html);
}

}  // namespace qwt
