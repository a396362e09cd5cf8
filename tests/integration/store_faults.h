// Short runs and sweeps on a store that something happens to.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/integration/quickstart.h"

namespace qwt {

// The quickstart on a handful of images.
inline std::vector<std::string> TinyRun(const std::string& folder, const std::vector<std::string>& more = {}) {
  std::vector<std::string> command =
      ShortQuickstart(folder, {"calibrate.images=4", "fit.images=8", "evaluate.images=20", "diagnose.images=4"});
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

// Two bit widths of that. out: of the sweep; the store is `folder`'s.
inline std::vector<std::string> TinySweep(const std::string& folder, const std::string& out) {
  MakeFile(folder + "/manifest.yaml",
           "name: tiny\nbase: ${QWT_HOME}/configs/quickstart.yaml\n"
           "set: {calibrate.images: 4, fit.images: 8, evaluate.images: 20, diagnose.images: 4, runtime.threads: 1}\n"
           "grid: {quantize.weight_bits: [4, 3]}\nrun_name: \"w{quantize.weight_bits}\"\n");
  return {"experiments/sweep", folder + "/manifest.yaml", "--out=" + folder + "/" + out,
          "runtime.store=" + folder + "/store"};
}

inline std::string TablesIn(const std::string& out) {
  std::string text;
  for (const char* file : {"table.csv", "table.md", "table.tex", "sweep.json"}) text += Contents(out + "/" + file);
  return text;
}

// What a run found, but for times.
inline std::string FindingsIn(const std::string& folder) {
  const nlohmann::json result = ResultIn(folder + "/out");
  std::string text;
  for (const char* part : {"evaluation", "blocks", "diagnosis", "size_mb", "mcnemar"}) text += result[part].dump(1);
  for (const auto& stage : result["stages"]) {
    if (stage.contains("skipped")) text += stage["skipped"].dump();
  }
  return text;
}

// The folders of a store's entries, by the stage that their keys name.
inline std::multimap<std::string, std::filesystem::path> EntriesIn(const std::string& store) {
  std::multimap<std::string, std::filesystem::path> entries;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator file(store + "/v1", error), end; !error && file != end;
       file.increment(error)) {
    if (file->path().filename() != "key.txt") continue;
    const std::string key = Contents(file->path()), mark = "\nstage: ";
    const size_t start = key.find(mark) + mark.size();
    entries.emplace(key.substr(start, key.find(' ', start) - start), file->path().parent_path());
  }
  return entries;
}

// Every file of a folder with what is in it.
inline std::map<std::string, std::string> FilesIn(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (file.is_regular_file()) files[file.path().string().substr(folder.size())] = Contents(file.path());
  }
  return files;
}

inline int64_t BytesIn(const std::string& folder) {
  int64_t bytes = 0;
  for (const auto& [name, content] : FilesIn(folder)) bytes += static_cast<int64_t>(content.size());
  return bytes;
}

inline bool NothingHalfWritten(const std::string& store) { return std::filesystem::is_empty(store + "/v1/tmp"); }

// For a program whose store is on a full disk, that may hold so many bytes, or on one that is read-only.
inline std::map<std::string, std::string> ReadOnly(const std::string& folder) {
  return {{"LD_PRELOAD", std::filesystem::absolute("tests/helpers/disk_fault.so")},
          {"QWT_FAULT_FOLDER", folder + "/store"}};
}
inline std::map<std::string, std::string> FullAt(const std::string& folder, int64_t bytes) {
  std::map<std::string, std::string> environment = ReadOnly(folder);
  environment["QWT_FAULT_BYTES"] = std::to_string(bytes);
  return environment;
}

}  // namespace qwt
