#include "pipelines/report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/base/version.h"
#include "pipelines/progress.h"

namespace qwt {
namespace {

// Colours that stay apart for colour-blind readers and in print (Okabe and Ito's set).
constexpr char kGrey[] = "#8a8a8a", kOrange[] = "#d55e00", kBlue[] = "#0072b2";

constexpr char kStyle[] = R"(
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.sub { color: #5a5a5a; margin-top: .2rem; } .failed { color: #a40000; font-weight: 600; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: #444; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #333; }
)";

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

const char* ColourOf(const std::string& model) {
  if (model == "float") return kGrey;
  return model == "quantized" ? kOrange : kBlue;
}

std::string Rect(double x, double y, double width, double height, const char* colour) {
  return absl::StrFormat("<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'/>", x, y, std::max(width, 0.0),
                         height, colour);
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return absl::StrFormat("<text x='%.1f' y='%.1f' text-anchor='%s'>%s</text>", x, y, anchor, Escape(text));
}

// Top-1 of each model as a point with its interval, on an axis that spans the intervals.
std::string AccuracyChart(const RunResult& result) {
  double low = 100, high = 0;
  for (const auto& [model, score] : result.scores) {
    low = std::min(low, score.top1_low);
    high = std::max(high, score.top1_high);
  }
  low = std::max(0.0, std::floor(low) - 1);
  high = std::min(100.0, std::ceil(high) + 1);
  constexpr double kLeft = 110, kWidth = 560, kRow = 34;
  const double height = kRow * result.models.size();
  auto at = [&](double value) { return kLeft + (value - low) / (high - low) * kWidth; };
  std::string svg = absl::StrFormat(
      "<svg viewBox='0 0 720 %.0f' role='img' aria-label='Top-1 accuracy with 95 %% intervals'>", height + 44);
  const double step = high - low > 20 ? 5 : high - low > 8 ? 2 : 1;
  for (double tick = std::ceil(low / step) * step; tick <= high; tick += step) {
    absl::StrAppendFormat(&svg, "<line x1='%.1f' x2='%.1f' y1='0' y2='%.1f' stroke='#e4e4e4'/>", at(tick), at(tick),
                          height);
    svg += Text(at(tick), height + 16, "middle", absl::StrFormat("%g", tick));
  }
  svg += Text(kLeft + kWidth / 2, height + 36, "middle", "top-1 accuracy, % (line: 95 % interval)");
  double y = kRow / 2;
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    svg += Text(kLeft - 10, y + 4, "end", model);
    svg += Rect(at(score.top1_low), y - 1.5, at(score.top1_high) - at(score.top1_low), 3, ColourOf(model));
    absl::StrAppendFormat(&svg, "<circle cx='%.1f' cy='%.1f' r='6' fill='%s'/>", at(score.top1), y, ColourOf(model));
    svg += Text(at(score.top1), y - 9, "middle", absl::StrFormat("%.2f", score.top1));
    y += kRow;
  }
  return svg + "</svg>";
}

// What of each block's squared error the compensation leaves.
std::string BlockChart(const RunResult& result) {
  constexpr double kLeft = 110, kWidth = 480, kRow = 26;
  const double height = kRow * result.blocks.size();
  std::string svg =
      absl::StrFormat("<svg viewBox='0 0 720 %.0f' role='img' aria-label='Error left by block'>", height + 40);
  double y = 0;
  for (const BlockSolution& block : result.blocks) {
    const double left = block.kept && block.mse_before > 0 ? block.mse_after / block.mse_before : 1;
    svg += Text(kLeft - 10, y + 15, "end", block.block);
    svg += Rect(kLeft, y + 3, kWidth, 16, "#f3d9c8") + Rect(kLeft, y + 3, kWidth * std::min(left, 1.0), 16, kBlue);
    const std::string held_out =
        block.held_out_r2.has_value() ? absl::StrFormat(", held out %.3f", *block.held_out_r2) : "";
    svg +=
        Text(kLeft + kWidth + 8, y + 15, "start",
             block.kept ? absl::StrFormat("R² %.3f%s", block.r2, held_out) : absl::StrCat("not kept: ", block.reason));
    y += kRow;
  }
  for (int percent = 0; percent <= 100; percent += 25) {
    svg += Text(kLeft + kWidth * percent / 100, height + 14, "middle", absl::StrCat(percent));
  }
  svg += Text(kLeft + kWidth / 2, height + 34, "middle",
              "squared error left after compensation, % of the quantised block's");
  return svg + "</svg>";
}

std::string ModelTable(const RunResult& result) {
  std::string html =
      "<div class='scroll'><table><tr><th>model</th><th>top-1</th><th>95 % interval</th><th>top-5</th><th>size</th>"
      "<th>images/s</th>";
  html += result.expected.top1.empty() ? "</tr>" : "<th>published</th><th>difference</th></tr>";
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    auto size = result.size_mb.find(model);
    absl::StrAppendFormat(
        &html, "<tr><td>%s</td><td>%.2f %%</td><td>%.2f to %.2f</td><td>%.2f %%</td><td>%s</td><td>%.0f</td>", model,
        score.top1, score.top1_low, score.top1_high, score.top5,
        size == result.size_mb.end() ? "" : absl::StrFormat("%.3f MB", size->second), score.images_per_second);
    if (const auto above = AboveExpected(result, model)) {
      absl::StrAppendFormat(&html, "<td>%.2f %%</td><td>%+.2f</td>", result.expected.top1.at(model), *above);
    }
    html += "</tr>";
  }
  return html + "</table></div>";
}

std::string ComparisonTable(const RunResult& result) {
  std::string html =
      "<div class='scroll'><table><tr><th>images that only one gets right</th><th>first</th><th>second</th>"
      "<th>McNemar's p</th></tr>";
  for (const Comparison& comparison : result.comparisons) {
    absl::StrAppend(&html, "<tr><td>", comparison.first, ", ", comparison.second, "</td><td>", comparison.only_first,
                    "</td><td>", comparison.only_second, "</td><td>", ProbabilityText(comparison.test.p), "</td></tr>");
  }
  return html + "</table></div>";
}

std::string StageTable(const RunResult& result) {
  std::string html =
      "<div class='scroll'><table><tr><th>stage</th><th>time</th><th>images</th><th>bound by</th><th>peak memory</th>"
      "</tr>";
  for (const StageRecord& stage : result.stages) {
    const std::string on_gpu =
        stage.gpu_peak_bytes == 0 ? "" : absl::StrFormat(", GPU %.0f MB", stage.gpu_peak_bytes / 1e6);
    absl::StrAppendFormat(&html, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%.0f MB%s</td></tr>", stage.name,
                          FormatDuration(stage.seconds) + (stage.cached ? " (from the store)" : ""),
                          stage.images > 0 ? absl::StrCat(stage.images) : "",
                          stage.images > 0 ? BoundBy(stage.load_seconds, stage.transfer_seconds, stage.seconds) : "",
                          stage.peak_bytes / 1e6, on_gpu);
  }
  return html + "</table></div>";
}

std::string SkippedImages(const RunResult& result) {
  std::string html;
  for (const StageRecord& stage : result.stages) {
    if (stage.skipped.empty()) continue;
    absl::StrAppend(&html, "<p>", stage.name, " left out ", stage.skipped.size(),
                    " that could not be decoded:</p><ul>");
    for (const std::string& name : stage.skipped) absl::StrAppend(&html, "<li>", Escape(name), "</li>");
    absl::StrAppend(&html, "</ul>");
  }
  return html;
}

}  // namespace

std::string ResultToHtml(const RunResult& result) {
  std::string html = absl::StrCat(
      "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width, initial-scale=1'><title>",
      Escape(result.name), "</title><style>", kStyle, "</style></head><body><h1>", Escape(result.name), "</h1>");
  if (!result.status.ok())
    absl::StrAppend(&html, "<p class='failed'>failed: ", Escape(result.status.message()), "</p>");
  if (!result.models.empty()) {
    absl::StrAppendFormat(&html, "<p class='sub'>%d images</p>", result.scores.at(result.models[0]).images);
    absl::StrAppend(&html, ModelTable(result), "<h2>Accuracy</h2>", AccuracyChart(result));
    if (!result.comparisons.empty()) absl::StrAppend(&html, ComparisonTable(result));
  }
  if (!result.blocks.empty())
    absl::StrAppend(&html, "<h2>What compensation wins back, block by block</h2>", BlockChart(result));
  absl::StrAppend(&html, "<h2>Stages</h2>", StageTable(result), SkippedImages(result), "<p class='sub'>QwT ", kVersion,
                  " · ", result.device, " · ", result.ranks, result.ranks == 1 ? " rank" : " ranks", " of ",
                  result.threads, result.threads == 1 ? " thread" : " threads", " · config ",
                  result.config_sha256.substr(0, 12), "</p></body></html>\n");
  return html;
}

}  // namespace qwt
