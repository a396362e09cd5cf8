#include "core/store/inventory.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/status.h"
#include "core/store/entry.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::system_clock;

// Of all files below a folder. Files that go meanwhile count nothing.
int64_t BytesBelow(const std::string& folder) {
  int64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    std::error_code gone;
    const uintmax_t size = file->is_regular_file(gone) ? file->file_size(gone) : 0;
    if (!gone) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

std::optional<Clock::time_point> ChangeTime(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return Clock::time_point(
      std::chrono::seconds(status.st_mtim.tv_sec) +
      std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(status.st_mtim.tv_nsec)));
}

// The stage of a key's text: "format: 1\nstage: fit.block 1\n…".
std::string KindOf(const std::string& key_text) {
  const std::vector<std::string> lines = absl::StrSplit(key_text, '\n');
  if (lines.size() < 2 || !absl::StartsWith(lines[1], "stage: ")) return "damaged";
  return std::vector<std::string>(absl::StrSplit(lines[1].substr(7), ' '))[0];
}

bool IsInUse(const std::string& record) {
  const FileLock lock = FileLock::TryExclusive(record);
  return lock.opened() && !lock.held();
}

StoredEntry ReadEntry(const std::string& folder) {
  StoredEntry entry;
  entry.hash = fs::path(folder).filename();
  if (auto text = ReadFile(absl::StrCat(folder, "/", kKeyFile)); text.ok()) entry.key_text = *std::move(text);
  entry.kind = KindOf(entry.key_text);
  if (auto record = ReadRecord(folder); record.ok()) entry.maker = record->maker;
  entry.bytes = BytesBelow(folder);
  const std::string record = absl::StrCat(folder, "/", kRecordFile);
  entry.made = ChangeTime(absl::StrCat(folder, "/", kPayloadFile)).value_or(Clock::time_point());
  entry.used = ChangeTime(record).value_or(entry.made);
  entry.in_use = IsInUse(record);
  return entry;
}

std::vector<std::string> FoldersIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    if (entry->is_directory(gone)) names.push_back(entry->path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsVersion(const std::string& name) {
  return name.size() > 1 && name[0] == 'v' && name.find_first_not_of("0123456789", 1) == std::string::npos;
}

}  // namespace

absl::StatusOr<Inventory> TakeInventory(const std::string& root) {
  std::error_code error;
  const std::string version = absl::StrCat(root, "/", kVersionFolder);
  Inventory inventory;
  for (const std::string& name : FoldersIn(root)) {
    if (IsVersion(name) && name != kVersionFolder) inventory.other_versions.push_back(name);
  }
  if (!fs::is_directory(version, error) && inventory.other_versions.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no store in '", root,
                                            "': it has no folder v1, which a run makes when it first keeps something; "
                                            "--store=DIR names another (a run's runtime.store)"));
  }
  for (const std::string& prefix : FoldersIn(version)) {
    if (prefix.size() != 2) continue;
    for (const std::string& hash : FoldersIn(absl::StrCat(version, "/", prefix))) {
      inventory.entries.push_back(ReadEntry(absl::StrCat(version, "/", prefix, "/", hash)));
    }
  }
  std::stable_sort(inventory.entries.begin(), inventory.entries.end(),
                   [](const StoredEntry& a, const StoredEntry& b) { return a.used < b.used; });
  inventory.unfinished_bytes = BytesBelow(absl::StrCat(version, "/", kTemporaryFolder));
  inventory.index_bytes = BytesBelow(absl::StrCat(root, "/index"));
  return inventory;
}

absl::Status VerifyStored(const std::string& root, const StoredEntry& entry) {
  return VerifyEntry(EntryFolder(root, entry.hash), std::nullopt);
}

absl::StatusOr<Removal> RemoveStored(const std::string& root, const std::string& hash) {
  const std::string folder = EntryFolder(root, hash);
  const std::string record = absl::StrCat(folder, "/", kRecordFile);
  const FileLock lock = FileLock::TryExclusive(record);
  // Without a record it is half written, and nobody's.
  if (lock.opened() && !lock.held()) return Removal::kInUse;
  if (lock.opened() && !lock.IsOf(record)) return Removal::kRemoved;  // by another; what is there now is a new one
  QWT_RETURN_IF_ERROR(TakeAway(root, folder));
  return Removal::kRemoved;
}

absl::StatusOr<Collected> CollectStore(const std::string& root, const Keep& keep, bool dry_run) {
  QWT_ASSIGN_OR_RETURN(const Inventory inventory, TakeInventory(root));
  if (!dry_run) RemoveLeftovers(root);
  const Clock::time_point oldest = keep.unused.has_value() ? Clock::now() - *keep.unused : Clock::time_point();
  Collected collected;
  const auto concerned = [&](const StoredEntry& entry) { return keep.kind.empty() || entry.kind == keep.kind; };
  for (const StoredEntry& entry : inventory.entries) collected.left_bytes += concerned(entry) ? entry.bytes : 0;
  for (const StoredEntry& entry : inventory.entries) {
    if (!concerned(entry)) continue;
    const bool too_much = keep.bytes.has_value() && collected.left_bytes > *keep.bytes;
    if (!too_much && entry.used >= oldest) break;
    bool in_use = entry.in_use;
    if (!in_use && !dry_run) {
      QWT_ASSIGN_OR_RETURN(const Removal removal, RemoveStored(root, entry.hash));
      in_use = removal == Removal::kInUse;
    }
    (in_use ? collected.in_use : collected.removed).push_back(entry);
    if (!in_use) collected.left_bytes -= entry.bytes;
  }
  return collected;
}

}  // namespace qwt
