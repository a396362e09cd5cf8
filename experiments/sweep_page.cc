#include "experiments/sweep_page.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "experiments/sweep_charts.h"
#include "pipelines/report/page.h"
#include "pipelines/report/run_page.h"
#include "pipelines/report/svg.h"

namespace qwt {
namespace {

// Sorts a table by the column whose head is clicked; without it the page has everything but that.
constexpr char kSortScript[] = R"(
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const key = row => row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const x = parseFloat(key(a)), y = parseFloat(key(b));
        const order = isNaN(x) || isNaN(y) ? (isNaN(x) - isNaN(y)) || key(a).localeCompare(key(b)) : x - y;
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', event => { if (event.key === 'Enter') sort(); });
  });
}
)";

void DropEmptyColumns(ResultTable* table) {
  for (size_t i = table->columns.size(); i-- > 0;) {
    const auto empty = [i](const std::vector<TableCell>& row) { return row[i].text.empty(); };
    if (!std::all_of(table->rows.begin(), table->rows.end(), empty)) continue;
    table->columns.erase(table->columns.begin() + i);
    for (auto& row : table->rows) row.erase(row.begin() + i);
  }
}

// The accuracy table with the time, and the run's name leading to its own page.
ResultTable LinkedTable(const SweepResults& sweep) {
  ResultTable table = AccuracyTable(sweep);
  table.columns.insert(table.columns.end() - 1, {"time, s"});
  for (size_t i = 0; i < sweep.runs.size(); ++i) {
    const ReportedRun& run = sweep.runs[i];
    std::string seconds;
    if (run.result.has_value()) {
      double sum = 0;
      for (const StageRecord& stage : run.result->stages) sum += stage.seconds;
      seconds = absl::StrFormat("%.1f", sum);
      table.rows[i][0].link = run.folder + "/report.html";
    }
    table.rows[i].insert(table.rows[i].end() - 1, {seconds});
  }
  DropEmptyColumns(&table);
  return table;
}

std::string Count(size_t count, const char* what) { return absl::StrCat(count, " ", what, count == 1 ? "" : "s"); }

std::string Headline(const SweepResults& sweep) {
  size_t ok = 0;
  for (const ReportedRun& run : sweep.runs) ok += run.status == "ok";
  std::string text = Count(sweep.runs.size(), "run");
  if (!sweep.axes.empty()) absl::StrAppend(&text, " over ", absl::StrJoin(sweep.axes, ", "));
  if (ok < sweep.runs.size()) absl::StrAppend(&text, ": ", ok, " complete, ", sweep.runs.size() - ok, " not");
  return text;
}

// "QwT gains most in w2: +2.83 points (46.12 to 48.95 %), least in w8: -0.02."
std::string GainSentence(const SweepResults& sweep) {
  const auto gain = [](const ReportedRun* run) {
    return ScoreOf(*run, "compensated")->top1 - ScoreOf(*run, "quantized")->top1;
  };
  const ReportedRun *most = nullptr, *least = nullptr;
  size_t better = 0, compared = 0;
  for (const ReportedRun& run : sweep.runs) {
    if (ScoreOf(run, "compensated") == nullptr || ScoreOf(run, "quantized") == nullptr) continue;
    if (most == nullptr || gain(&run) > gain(most)) most = &run;
    if (least == nullptr || gain(&run) < gain(least)) least = &run;
    better += gain(&run) > 0;
    ++compared;
  }
  if (most == nullptr || most == least) return "";
  return absl::StrFormat(
      "QwT is better than the base method in %d of %s; it gains most in %s (%+.2f points, %.2f to "
      "%.2f %%) and least in %s (%+.2f).",
      better, Count(compared, "run"), most->name, gain(most), ScoreOf(*most, "quantized")->top1,
      ScoreOf(*most, "compensated")->top1, least->name, gain(least));
}

std::string Failures(const SweepResults& sweep) {
  std::string items;
  for (const ReportedRun& run : sweep.runs) {
    if (run.status == "ok") continue;
    absl::StrAppend(&items, "<li><b>", EscapeHtml(run.name), "</b> (", EscapeHtml(run.status), ")",
                    run.error.empty() ? "" : absl::StrCat(": ", EscapeHtml(run.error)), "</li>");
  }
  return items.empty() ? "" : absl::StrCat("<ul class='failed'>", items, "</ul>\n");
}

std::string Provenance(const SweepResults& sweep) {
  ResultTable table{{{"run", false},
                     {"config, SHA-256", false},
                     {"images of evaluate, SHA-256", false},
                     {"QwT", false},
                     {"LibTorch", false},
                     {"device", false},
                     {"ranks"}},
                    {}};
  for (const ReportedRun& run : sweep.runs) {
    if (!run.result.has_value()) continue;
    const RunResult& result = *run.result;
    std::string images;
    for (const StageRecord& stage : result.stages) {
      if (stage.name == "evaluate") images = stage.images_sha256.substr(0, 16);
    }
    table.rows.push_back({{run.name},
                          {result.config_sha256.substr(0, 16)},
                          {images},
                          {result.version},
                          {result.libtorch},
                          {result.device},
                          {absl::StrCat(result.ranks)}});
  }
  return table.rows.empty() ? "" : ToHtml(table);
}

// Each run's own page, folded.
std::string Runs(const SweepResults& sweep) {
  std::string html;
  for (const ReportedRun& run : sweep.runs) {
    if (!run.result.has_value()) continue;
    absl::StrAppend(&html, "<details class='run'><summary>", EscapeHtml(run.name), "</summary>",
                    RunSummary(*run.result), RunSections(*run.result, run.config_yaml), "</details>\n");
  }
  return html;
}

std::vector<std::string> NotEmpty(std::vector<std::string> figures) {
  figures.erase(std::remove(figures.begin(), figures.end(), ""), figures.end());
  return figures;
}

}  // namespace

std::string SweepToHtml(const SweepResults& sweep, const std::vector<Neighbours>& neighbours) {
  std::string body = absl::StrCat("<h1>", EscapeHtml(sweep.name), "</h1>\n", HtmlParagraph(Headline(sweep), "sub"));
  const std::string gain = GainSentence(sweep);
  if (!gain.empty()) body += HtmlParagraph(gain, "lead");
  body += Failures(sweep);
  body += HtmlColumns(NotEmpty({GainByRunFigure(sweep), FrontFigure(sweep)}));
  body += HtmlSection("Results", ToHtml(LinkedTable(sweep), /*sortable=*/true));
  body += HtmlSection("Along the axes", HtmlColumns(AxisFigures(sweep)));
  body += HtmlSection("Block by block", HtmlColumns(NotEmpty(BlockFigures(sweep))));
  if (!neighbours.empty()) {
    body += HtmlSection("Neighbours", HtmlParagraph("Runs one after the other on the same images: how many only one of "
                                                    "them gets right, and the probability of so uneven a split by "
                                                    "chance.") +
                                          ToHtml(NeighbourTable(neighbours)));
  }
  body += HtmlSection(
      "Time", HtmlColumns(NotEmpty({TimeByRunFigure(sweep)})) + HtmlFolded("every stage", ToHtml(TimesTable(sweep))));
  body += HtmlSection("Every run", Runs(sweep));
  body += HtmlSection("Where the figures come from", Provenance(sweep));
  return HtmlPage(sweep.name, body, kSortScript);
}

}  // namespace qwt
