#include "experiments/sweep_tables.h"

#include <algorithm>

#include "ATen/core/Tensor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/tensor/safetensors.h"

namespace qwt {
namespace {

TableCell Number(const std::optional<double>& value, int digits) {
  return {value.has_value() ? absl::StrFormat("%.*f", digits, *value) : ""};
}

TableCell Difference(const std::optional<double>& points) {
  return {points.has_value() ? absl::StrFormat("%+.2f", *points) : ""};
}

std::optional<double> Top1(const ReportedRun& run, const std::string& model) {
  const ModelScore* score = ScoreOf(run, model);
  return score == nullptr ? std::nullopt : std::optional<double>(score->top1);
}

bool IsNumeric(const SweepResults& sweep, const std::string& axis) {
  return std::all_of(sweep.runs.begin(), sweep.runs.end(), [&](const ReportedRun& run) {
    const auto value = run.axes.find(axis);
    double number;
    return value == run.axes.end() || absl::SimpleAtod(value->second, &number);
  });
}

std::vector<TableCell> AccuracyRow(const SweepResults& sweep, const ReportedRun& run) {
  std::vector<TableCell> row = {{run.name}};
  for (const std::string& axis : sweep.axes) {
    const auto value = run.axes.find(axis);
    row.push_back({value == run.axes.end() ? "" : value->second});
  }
  const auto base = Top1(run, "quantized"), compensated = Top1(run, "compensated");
  std::optional<double> gain, published, difference;
  if (base.has_value() && compensated.has_value()) gain = *compensated - *base;
  const std::string last = FinalModel(run);
  if (run.result.has_value()) {
    const auto expected = run.result->expected.top1.find(last);
    if (expected != run.result->expected.top1.end()) published = expected->second;
    difference = AboveExpected(*run.result, last);
  }
  const ModelScore* score = FinalScore(run);
  const std::string interval =
      score == nullptr ? "" : absl::StrFormat("%.2f to %.2f", score->top1_low, score->top1_high);
  for (const TableCell& cell :
       {Number(Top1(run, "float"), 2), Number(base, 2), Number(compensated, 2), TableCell{interval}, Difference(gain),
        Number(published, 2), Difference(difference), Number(SizeOf(run, last), 3), TableCell{run.status}}) {
    row.push_back(cell);
  }
  return row;
}

// Whether each image was right, by a run's last model, and which images.
struct Hits {
  at::Tensor images, labels, right;
};

std::optional<Hits> ReadHits(const std::string& folder, const ReportedRun& run) {
  const std::string model = FinalModel(run);
  if (model.empty()) return std::nullopt;
  auto file = ReadSafetensors(absl::StrCat(folder, "/", run.folder, "/predictions.safetensors"));
  if (!file.ok()) return std::nullopt;
  const Hits hits = {file->tensors["images"], file->tensors["labels"], file->tensors[model + ".top1"]};
  for (const at::Tensor& tensor : {hits.images, hits.labels, hits.right}) {
    if (!tensor.defined()) return std::nullopt;
  }
  return hits;
}

}  // namespace

ResultTable AccuracyTable(const SweepResults& sweep) {
  ResultTable table{{{"run", false}}, {}};
  for (const std::string& axis : sweep.axes) table.columns.push_back({axis, IsNumeric(sweep, axis)});
  for (const char* name :
       {"float, %", "base, %", "+ QwT, %", "95 % interval", "gain", "published, %", "difference", "size, MB"}) {
    table.columns.push_back({name});
  }
  table.columns.push_back({"status", false});
  for (const ReportedRun& run : sweep.runs) table.rows.push_back(AccuracyRow(sweep, run));
  return table;
}

ResultTable TimesTable(const SweepResults& sweep) {
  std::vector<std::string> stages;
  for (const ReportedRun& run : sweep.runs) {
    if (!run.result.has_value()) continue;
    for (const StageRecord& stage : run.result->stages) {
      if (std::find(stages.begin(), stages.end(), stage.name) == stages.end()) stages.push_back(stage.name);
    }
  }
  ResultTable table{{{"run", false}}, {}};
  for (const std::string& stage : stages) table.columns.push_back({stage + ", s"});
  for (const char* name : {"time, s", "stages stored", "images/s", "peak memory, MB"}) table.columns.push_back({name});
  for (const ReportedRun& run : sweep.runs) {
    if (!run.result.has_value()) continue;
    std::vector<TableCell> row = {{run.name}};
    double seconds = 0, peak = 0;
    int stored = 0;
    for (const std::string& name : stages) {
      TableCell cell;
      for (const StageRecord& stage : run.result->stages) {
        if (stage.name != name) continue;
        cell.text = absl::StrFormat("%.3f", stage.seconds);
        seconds += stage.seconds;
        stored += stage.cached;
        peak = std::max(peak, static_cast<double>(stage.peak_bytes));
      }
      row.push_back(cell);
    }
    const ModelScore* score = FinalScore(run);
    row.push_back({absl::StrFormat("%.3f", seconds)});
    row.push_back({absl::StrCat(stored)});
    row.push_back({score == nullptr ? "" : absl::StrFormat("%.0f", score->images_per_second)});
    row.push_back({absl::StrFormat("%.0f", peak / 1e6)});
    table.rows.push_back(row);
  }
  return table;
}

std::vector<Neighbours> CompareNeighbours(const std::string& folder, const SweepResults& sweep) {
  std::vector<Neighbours> all;
  std::optional<Hits> before;
  std::string name_before;
  for (const ReportedRun& run : sweep.runs) {
    std::optional<Hits> hits = ReadHits(folder, run);
    if (!hits.has_value()) continue;  // the next one is compared with the last that has some
    if (before.has_value() && before->images.equal(hits->images) && before->labels.equal(hits->labels)) {
      Neighbours neighbours{name_before, run.name};
      neighbours.only_first = before->right.gt(hits->right).sum().item<int64_t>();
      neighbours.only_second = hits->right.gt(before->right).sum().item<int64_t>();
      neighbours.test = McNemarTest(neighbours.only_first, neighbours.only_second);
      all.push_back(neighbours);
    }
    before = std::move(hits);
    name_before = run.name;
  }
  return all;
}

ResultTable NeighbourTable(const std::vector<Neighbours>& neighbours) {
  ResultTable table{{{"first", false}, {"second", false}, {"only first right"}, {"only second right"}, {"McNemar's p"}},
                    {}};
  for (const Neighbours& pair : neighbours) {
    table.rows.push_back({{pair.first},
                          {pair.second},
                          {absl::StrCat(pair.only_first)},
                          {absl::StrCat(pair.only_second)},
                          {ProbabilityText(pair.test.p)}});
  }
  return table;
}

}  // namespace qwt
