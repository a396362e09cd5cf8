#include "pipelines/report/run_page.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pipelines/progress.h"
#include "pipelines/report/page.h"
#include "pipelines/report/table.h"

namespace qwt {
namespace {

std::string Megabytes(double mb) { return absl::StrFormat(mb < 10 ? "%.3f MB" : "%.1f MB", mb); }

std::optional<double> SizeOf(const RunResult& result, const std::string& model) {
  const auto size = result.size_mb.find(model);
  return size == result.size_mb.end() ? std::nullopt : std::optional<double>(size->second);
}

const ModelScore* ScoreOf(const RunResult& result, const std::string& model) {
  const auto score = result.scores.find(model);
  return score == result.scores.end() ? nullptr : &score->second;
}

std::string Cards(const RunResult& result) {
  std::vector<HtmlCard> cards;
  const ModelScore* reference = ScoreOf(result, "float");
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    const ModelStyle style = StyleOf(model);
    std::string remark = "top-1";
    const ModelScore* before = model == "compensated" ? ScoreOf(result, "quantized") : reference;
    if (before != nullptr && before != &score) {
      remark =
          absl::StrFormat("%+.2f to %s", score.top1 - before->top1, model == "compensated" ? "quantised" : "float");
    }
    if (const auto size = SizeOf(result, model)) absl::StrAppend(&remark, ", ", Megabytes(*size));
    cards.push_back({style.name, absl::StrFormat("%.2f %%", score.top1), remark, style.colour});
  }
  return cards.empty() ? "" : HtmlCards(cards);
}

// "Quantisation to 0.305 MB (8.9 times smaller) costs 2.55 points; QwT wins back 1.00 of them for 0.113 MB."
std::string CostSentence(const RunResult& result) {
  const ModelScore *exact = ScoreOf(result, "float"), *quantized = ScoreOf(result, "quantized"),
                   *compensated = ScoreOf(result, "compensated");
  const auto whole = SizeOf(result, "float"), small = SizeOf(result, "quantized"), with = SizeOf(result, "compensated");
  if (exact == nullptr || quantized == nullptr || !whole.has_value() || !small.has_value()) return "";
  const double lost = exact->top1 - quantized->top1;
  std::string text = absl::StrFormat("Quantisation to %s (%.1f times smaller) %s", Megabytes(*small), *whole / *small,
                                     lost > 0 ? absl::StrFormat("costs %.2f points", lost) : "costs no accuracy");
  if (compensated != nullptr && with.has_value()) {
    const double won = compensated->top1 - quantized->top1;
    absl::StrAppendFormat(
        &text, "; QwT %s for %s",
        won < 0 ? absl::StrFormat("loses another %.2f", -won) : absl::StrFormat("wins back %.2f", won),
        Megabytes(*with - *small));
  }
  return text + ".";
}

std::string AccuracyFigure(const RunResult& result) {
  RowChart chart{"Top-1 accuracy with 95 % intervals", {"top-1 accuracy, %"}, {}, {}};
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    const ModelStyle style = StyleOf(model);
    const std::string top1 = absl::StrFormat("%.2f", score.top1);
    ChartRow row{style.name, {}, top1};
    row.marks.push_back(
        {score.top1, style.colour, style.marker, score.top1_low, score.top1_high,
         absl::StrFormat("%s: %s %%, 95 %% interval %.2f to %.2f", style.name, top1, score.top1_low, score.top1_high)});
    const auto published = result.expected.top1.find(model);
    if (published != result.expected.top1.end()) {
      row.marks.push_back({published->second, kInk, Marker::kDiamond, std::nullopt, std::nullopt,
                           absl::StrFormat("published: %.2f %%", published->second)});
    }
    chart.rows.push_back(row);
  }
  if (!result.expected.top1.empty()) chart.legend = {{"published", kInk, Marker::kDiamond}};
  return HtmlFigure("Top-1 accuracy; the lines are 95 % intervals (Wilson).", Draw(chart));
}

std::string SizeFigure(const RunResult& result) {
  ScatterChart chart{"Accuracy against size", {"size, MB", true}, {"top-1 accuracy, %"}, {}, {}};
  for (const std::string& model : result.models) {
    const auto size = SizeOf(result, model);
    if (!size.has_value()) continue;
    const ModelScore& score = result.scores.at(model);
    const ModelStyle style = StyleOf(model);
    chart.points.push_back({*size, score.top1, style.name, style.colour, style.marker,
                            absl::StrFormat("%s: %.2f %% at %s", style.name, score.top1, Megabytes(*size)),
                            score.top1_low, score.top1_high});
  }
  if (chart.points.size() < 2) return "";
  MarkFront(&chart.points);
  return HtmlFigure("Accuracy against size; the dashed line is the front: nothing smaller is better.", Draw(chart));
}

std::string ModelTable(const RunResult& result) {
  const bool published = !result.expected.top1.empty();
  ResultTable table{{{"model", false}, {"top-1, %"}, {"95 % interval"}, {"top-5, %"}, {"size, MB"}, {"images/s"}}, {}};
  if (published) {
    table.columns.push_back({"published, %"});
    table.columns.push_back({"difference"});
  }
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    const auto size = SizeOf(result, model);
    table.rows.push_back({{StyleOf(model).name},
                          {absl::StrFormat("%.2f", score.top1)},
                          {absl::StrFormat("%.2f to %.2f", score.top1_low, score.top1_high)},
                          {absl::StrFormat("%.2f", score.top5)},
                          {size.has_value() ? absl::StrFormat("%.3f", *size) : ""},
                          {score.images_per_second > 0 ? absl::StrFormat("%.0f", score.images_per_second) : ""}});
    if (!published) continue;
    const auto above = AboveExpected(result, model);
    table.rows.back().push_back({above.has_value() ? absl::StrFormat("%.2f", result.expected.top1.at(model)) : ""});
    table.rows.back().push_back({above.has_value() ? absl::StrFormat("%+.2f", *above) : ""});
  }
  return ToHtml(table);
}

std::string ComparisonTable(const RunResult& result) {
  if (result.comparisons.empty()) return "";
  ResultTable table{{{"only one is right", false}, {"the first"}, {"the second"}, {"McNemar's p"}}, {}};
  for (const Comparison& comparison : result.comparisons) {
    table.rows.push_back({{absl::StrCat(StyleOf(comparison.first).name, ", ", StyleOf(comparison.second).name)},
                          {absl::StrCat(comparison.only_first)},
                          {absl::StrCat(comparison.only_second)},
                          {ProbabilityText(comparison.test.p)}});
  }
  return ToHtml(table);
}

std::string StageTable(const RunResult& result) {
  ResultTable table{{{"stage", false}, {"time"}, {"images"}, {"bound by"}, {"peak memory, MB"}, {"GPU, MB"}}, {}};
  bool on_gpu = false;
  for (const StageRecord& stage : result.stages) {
    on_gpu = on_gpu || stage.gpu_peak_bytes > 0;
    table.rows.push_back({{stage.name},
                          {FormatDuration(stage.seconds) + (stage.cached ? " (from the store)" : "")},
                          {stage.images > 0 ? absl::StrCat(stage.images) : ""},
                          {stage.images > 0 ? BoundBy(stage.load_seconds, stage.transfer_seconds, stage.seconds) : ""},
                          {absl::StrFormat("%.0f", stage.peak_bytes / 1e6)},
                          {absl::StrFormat("%.0f", stage.gpu_peak_bytes / 1e6)}});
  }
  if (!on_gpu) {
    table.columns.pop_back();
    for (auto& row : table.rows) row.pop_back();
  }
  return ToHtml(table);
}

// Each stage a bar; what of it waited for images is told apart.
std::string TimeFigure(const RunResult& result) {
  BarChart chart{"Time by stage", {"seconds"}, {}, {}};
  bool waited = false;
  for (const StageRecord& stage : result.stages) {
    const double waiting = std::min(stage.seconds, stage.load_seconds + stage.transfer_seconds);
    BarRow row{stage.name, {}, FormatDuration(stage.seconds) + (stage.cached ? ", stored" : "")};
    row.parts.push_back({stage.seconds - waiting, kBlue, stage.name + ": " + FormatDuration(stage.seconds)});
    if (waiting > 0.005 * stage.seconds) {
      row.parts.push_back({waiting, kOrange, stage.name + ": waited for images " + FormatDuration(waiting)});
      waited = true;
    }
    chart.rows.push_back(row);
  }
  if (waited) chart.legend = {{"computed", kBlue, Marker::kSquare}, {"waited for images", kOrange, Marker::kSquare}};
  return HtmlFigure("Time by stage.", Draw(chart));
}

std::string SkippedImages(const RunResult& result) {
  std::string html;
  for (const StageRecord& stage : result.stages) {
    if (stage.skipped.empty()) continue;
    absl::StrAppend(&html, "<p>", stage.name, " left out ", stage.skipped.size(),
                    " that could not be decoded:</p><ul>");
    for (const std::string& name : stage.skipped) absl::StrAppend(&html, "<li>", EscapeHtml(name), "</li>");
    html += "</ul>";
  }
  return html;
}

std::string Provenance(const RunResult& result, const std::string& config_yaml) {
  ResultTable table{{{"what", false}, {"identity", false}}, {}};
  table.rows.push_back({{"config, SHA-256"}, {result.config_sha256}});
  for (const StageRecord& stage : result.stages) {
    if (stage.images_sha256.empty()) continue;
    table.rows.push_back({{absl::StrCat("images of ", stage.name)}, {stage.images_sha256}});
  }
  table.rows.push_back({{"computed by"},
                        {absl::StrCat("QwT ", result.version, ", LibTorch ", result.libtorch, ", ", result.device, ", ",
                                      result.ranks, result.ranks == 1 ? " rank" : " ranks", " of ", result.threads,
                                      result.threads == 1 ? " thread" : " threads")}});
  std::string html = ToHtml(table);
  if (!config_yaml.empty()) {
    absl::StrAppend(&html, HtmlFolded("config.yaml, which runs again as it is",
                                      absl::StrCat("<pre>", EscapeHtml(config_yaml), "</pre>")));
  }
  return html;
}

}  // namespace

ModelStyle StyleOf(const std::string& model) {
  if (model == "float") return {"float", kGrey, Marker::kSquare};
  if (model == "quantized") return {"quantised", kVermilion, Marker::kTriangle};
  return {"with QwT", kBlue, Marker::kCircle};
}

std::string RunSummary(const RunResult& result) {
  std::string html;
  if (!result.status.ok()) {
    html += HtmlParagraph(absl::StrCat("failed: ", std::string(result.status.message())), "failed");
  }
  html += Cards(result);
  const std::string cost = CostSentence(result);
  if (!cost.empty()) html += HtmlParagraph(cost, "lead");
  if (result.diagnosis.has_value()) html += HtmlParagraph(DiagnosisSentence(*result.diagnosis), "lead");
  return html;
}

std::string RunSections(const RunResult& result, const std::string& config_yaml) {
  std::string html;
  if (!result.models.empty()) {
    const std::string beside = absl::StrCat("<div>", AccuracyFigure(result), ComparisonTable(result), "</div>");
    html += HtmlSection("Accuracy", HtmlColumns({beside, SizeFigure(result)}) + ModelTable(result));
  }
  html += HtmlSection("Block by block", BlockFigures(result));
  if (result.diagnosis.has_value()) html += HtmlSection("Where the noise comes from", NoiseFigures(*result.diagnosis));
  if (!result.stages.empty()) {
    html += HtmlSection("Time", HtmlColumns({TimeFigure(result)}) + StageTable(result) + SkippedImages(result));
  }
  return html + HtmlSection("Where the figures come from", Provenance(result, config_yaml));
}

BarRow StageBar(const std::string& name, const RunResult& result) {
  const std::vector<LegendEntry> legend = StageLegend({&result});
  BarRow row{name, {}, ""};
  double sum = 0;
  for (size_t i = 0; i < result.stages.size(); ++i) {
    const StageRecord& stage = result.stages[i];
    row.parts.push_back({stage.seconds, legend[i].colour,
                         absl::StrCat(name, ", ", stage.name, ": ", FormatDuration(stage.seconds),
                                      stage.cached ? " (from the store)" : "")});
    sum += stage.seconds;
  }
  row.remark = FormatDuration(sum);
  return row;
}

std::vector<LegendEntry> StageLegend(const std::vector<const RunResult*>& results) {
  // A colour of its own for each known stage, whatever others a run has.
  static constexpr std::pair<const char*, const char*> kColours[] = {
      {"load", kGrey},      {"calibrate", kOrange}, {"quantize", kPurple},      {"fit", kBlue},
      {"evaluate", kGreen}, {"diagnose", kSky},     {"load_quantized", kPurple}};
  std::vector<LegendEntry> legend;
  for (const RunResult* result : results) {
    for (const StageRecord& stage : result->stages) {
      const auto known = std::find_if(legend.begin(), legend.end(),
                                      [&](const LegendEntry& entry) { return entry.text == stage.name; });
      if (known != legend.end()) continue;
      const auto* colour = std::find_if(std::begin(kColours), std::end(kColours),
                                        [&](const auto& entry) { return stage.name == entry.first; });
      legend.push_back({stage.name, colour == std::end(kColours) ? kInk : colour->second, Marker::kSquare});
    }
  }
  return legend;
}

}  // namespace qwt
