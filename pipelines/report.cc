#include "pipelines/report.h"

#include "absl/strings/str_cat.h"
#include "pipelines/report/page.h"
#include "pipelines/report/run_page.h"
#include "pipelines/report/svg.h"

namespace qwt {

std::string ResultToHtml(const RunResult& result, const std::string& config_yaml) {
  std::string sub = absl::StrCat("QwT ", result.version, " on ", result.device);
  if (!result.models.empty()) {
    sub = absl::StrCat(result.scores.at(result.models[0]).images, " images evaluated · ", sub);
  }
  return HtmlPage(result.name, absl::StrCat("<h1>", EscapeHtml(result.name), "</h1>\n", HtmlParagraph(sub, "sub"),
                                            RunSummary(result), RunSections(result, config_yaml)));
}

}  // namespace qwt
