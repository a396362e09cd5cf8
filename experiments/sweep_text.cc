#include "experiments/sweep_text.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/paths.h"
#include "core/base/text_table.h"
#include "experiments/earlier_times.h"
#include "pipelines/progress.h"

namespace qwt {
namespace {

int Stored(const SweepRun& run, const SweepStage& stage) {
  return std::count_if(stage.keys.begin(), stage.keys.end(),
                       [&](const StoreKey& key) { return ArtifactStore::Contains(run.store, key); });
}

// Which run makes each entry first.
class Makers {
 public:
  // "" where the stage's entries are its own, else the run before it that makes all of them.
  std::string Before(const std::vector<StoreKey>& keys) const {
    std::string maker;
    for (const StoreKey& key : keys) {
      const auto found = makers_.find(key.hash());
      if (found == makers_.end()) return "";
      maker = found->second;
    }
    return maker;
  }
  void Add(const std::vector<StoreKey>& keys, const std::string& run) {
    for (const StoreKey& key : keys) makers_.try_emplace(key.hash(), run);
  }

 private:
  std::map<std::string, std::string> makers_;
};

struct Cell {
  std::string text;
  std::optional<double> seconds = 0;  // nothing: unknown
  bool computed = false;
};

Cell CellOf(const SweepRun& run, const SweepStage& stage, const Makers& makers, const EarlierTimes& times) {
  const int count = stage.keys.size(), stored = Stored(run, stage);
  if (count == 0) return {"each time", times.Seconds(run.model, stage.name, stage.images)};
  if (stored == count) return {"stored"};
  if (const std::string maker = makers.Before(stage.keys); !maker.empty()) return {"of " + maker};
  const std::string maker = makers.Before(stage.shared);
  if (!stage.shared.empty() && !maker.empty()) return {"sums of " + maker, 0, true};
  const std::string keeper = makers.Before(stage.values);
  if (!stage.values.empty() && !keeper.empty()) {
    return {"values of " + keeper, times.Seconds(run.model, stage.name, stage.images), true};
  }
  std::string text = stored == 0 ? "new" : absl::StrCat(count - stored, " of ", count, " new");
  return {text, times.Seconds(run.model, stage.name, stage.images), true};
}

std::string TimeText(std::optional<double> seconds) { return seconds.has_value() ? FormatDuration(*seconds) : "?"; }

}  // namespace

std::string DescribeSweep(const Sweep& sweep, const std::string& path) {
  std::vector<std::string> stages;
  for (const SweepRun& run : sweep.runs) {
    for (const SweepStage& stage : run.stages) {
      if (std::find(stages.begin(), stages.end(), stage.name) == stages.end()) stages.push_back(stage.name);
    }
  }
  const EarlierTimes times(AbsolutePath(path));
  Makers makers;
  std::vector<std::vector<std::string>> rows = {{"run"}};
  rows[0].insert(rows[0].end(), stages.begin(), stages.end());
  rows[0].insert(rows[0].end(), {"time", "memory"});
  std::vector<Align> columns(stages.size() + 1, Align::kLeft);
  columns.insert(columns.end(), {Align::kRight, Align::kRight});
  int computed = 0, all = 0;
  std::optional<double> total = 0;
  for (const SweepRun& run : sweep.runs) {
    std::map<std::string, std::string> cells;
    std::optional<double> seconds = 0;
    for (const SweepStage& stage : run.stages) {
      const Cell cell = CellOf(run, stage, makers, times);
      cells[stage.name] = cell.text;
      seconds =
          seconds.has_value() && cell.seconds.has_value() ? std::optional(*seconds + *cell.seconds) : std::nullopt;
      all += !stage.keys.empty();
      computed += cell.computed;
    }
    for (const SweepStage& stage : run.stages) {
      makers.Add(stage.keys, run.name);
      makers.Add(stage.shared, run.name);
      makers.Add(stage.values, run.name);
    }
    rows.push_back({run.name});
    for (const std::string& stage : stages) rows.back().push_back(cells.count(stage) ? cells[stage] : "-");
    rows.back().push_back(TimeText(seconds));
    rows.back().push_back(absl::StrFormat("%.1f MB", run.MemoryBytes() / 1e6));
    total = total.has_value() && seconds.has_value() ? std::optional(*total + *seconds) : std::nullopt;
  }
  std::string text =
      absl::StrCat("sweep ", sweep.name, ": ", sweep.runs.size(), " runs (dry run: nothing is computed or written)\n\n",
                   TextTable(columns, rows), "\n");
  absl::StrAppend(&text, "  ", computed, " of ", all, " stages are to be computed, in about ",
                  total.has_value() ? FormatDuration(*total) : "an unknown time", "; folder ", AbsolutePath(path),
                  "\n");
  return text;
}

std::string OutcomeText(const RunOutcome& outcome) {
  std::string text = absl::StrCat("ok in ", FormatDuration(outcome.seconds));
  if (outcome.computed_stages.empty()) {
    text += ", all from the store";
  } else {
    absl::StrAppend(&text, ", computed ", absl::StrJoin(outcome.computed_stages, " "));
  }
  std::vector<std::string> scores;
  for (const char* model : {"float", "quantized", "compensated"}) {
    const auto score = outcome.top1.find(model);
    if (score != outcome.top1.end()) scores.push_back(absl::StrFormat("%s %.2f", model, score->second));
  }
  if (!scores.empty()) absl::StrAppend(&text, "; top-1 ", absl::StrJoin(scores, ", "));
  return text;
}

}  // namespace qwt
