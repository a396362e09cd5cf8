#include "experiments/earlier_times.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/files.h"
#include "core/config/node.h"
#include "pipelines/request.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostRuns = 500;  // to look at

std::vector<fs::path> FoldersIn(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (fs::is_directory(entry->path(), error)) folders.push_back(entry->path());
  }
  return folders;
}

// The model's section of a run's config, as Options::ToYaml writes it; "" where it cannot be read.
std::string ModelOf(const fs::path& run) {
  const auto config = LoadConfig((run / "config.yaml").string(), {});
  if (!config.ok()) return "";
  Problems problems;
  for (const Section& section : AllSections()) {
    if (section.name != "model") continue;
    const Options model = CheckSection(section, *config, &problems);
    return problems.empty() ? model.ToYaml(0) : "";
  }
  return "";
}

}  // namespace

EarlierTimes::EarlierTimes(const std::string& sweep_folder) {
  std::vector<fs::path> runs = FoldersIn(fs::path(sweep_folder) / "runs");
  for (const fs::path& folder : FoldersIn(fs::path(sweep_folder).parent_path())) {
    for (const fs::path& run : FoldersIn(folder)) runs.push_back(run);
    for (const fs::path& run : FoldersIn(folder / "runs")) runs.push_back(run);
  }
  if (runs.size() > kMostRuns) runs.resize(kMostRuns);
  for (const fs::path& run : runs) Read(run.string());
}

void EarlierTimes::Read(const std::string& run_folder) {
  const auto text = ReadFile(run_folder + "/result.json");
  if (!text.ok()) return;
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("stages")) return;
  const std::string model = ModelOf(run_folder);
  std::error_code error;
  const int64_t written = fs::last_write_time(run_folder + "/result.json", error).time_since_epoch().count();
  for (const auto& stage : json["stages"]) {
    if (!stage.is_object() || stage.value("cached", true)) continue;
    const int64_t images = stage.value("images", int64_t{0});
    // A fit whose sums were in the store is no measure of one.
    if (images == 0 && stage.value("name", "") == "fit") continue;
    Time& time = times_[{model, stage.value("name", "")}];
    if (time.written > written) continue;
    time = {written, stage.value("seconds", 0.0) / static_cast<double>(images > 0 ? images : 1)};
  }
}

std::optional<double> EarlierTimes::Seconds(const std::string& model, const std::string& stage, int64_t images) const {
  const auto time = times_.find({model, stage});
  if (time == times_.end()) return std::nullopt;
  return time->second.seconds * static_cast<double>(images > 0 ? images : 1);
}

}  // namespace qwt
