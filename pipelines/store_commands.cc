#include "pipelines/store_commands.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/byte_count.h"
#include "core/base/disk.h"
#include "core/base/status.h"
#include "core/base/text_table.h"

namespace qwt {
namespace {

using Time = std::chrono::system_clock::time_point;

std::string Ago(Time time) {
  const double minutes = std::chrono::duration<double>(std::chrono::system_clock::now() - time).count() / 60;
  if (minutes < 1) return "now";
  if (minutes < 60) return absl::StrFormat("%.0f min ago", std::floor(minutes));
  if (minutes < 48 * 60) return absl::StrFormat("%.0f h ago", std::floor(minutes / 60));
  return absl::StrFormat("%.0f days ago", std::floor(minutes / 60 / 24));
}

std::string Entries(size_t count) { return absl::StrCat(GroupedDigits(count), count == 1 ? " entry" : " entries"); }

// Entries of one kind.
struct Kind {
  int64_t entries = 0, bytes = 0, in_use = 0;
  Time made = Time::max(), used = Time::min();
};

std::vector<std::pair<std::string, Kind>> KindsOf(const std::vector<StoredEntry>& entries) {
  std::map<std::string, Kind> kinds;
  for (const StoredEntry& entry : entries) {
    Kind& kind = kinds[entry.kind];
    ++kind.entries;
    kind.bytes += entry.bytes;
    kind.in_use += entry.in_use;
    kind.made = std::min(kind.made, entry.made);
    kind.used = std::max(kind.used, entry.used);
  }
  std::vector<std::pair<std::string, Kind>> sorted(kinds.begin(), kinds.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  return sorted;
}

int64_t BytesOf(const std::vector<StoredEntry>& entries) {
  int64_t bytes = 0;
  for (const StoredEntry& entry : entries) bytes += entry.bytes;
  return bytes;
}

// What stands beside the entries, a line each.
std::string OtherFiles(const std::string& root, const Inventory& inventory) {
  std::string text;
  if (inventory.index_bytes > 0) {
    absl::StrAppend(&text, "  ", FormatBytes(inventory.index_bytes), " of image indexes in ", root,
                    "/index, which gc leaves\n");
  }
  if (inventory.unfinished_bytes > 0) {
    absl::StrAppend(&text, "  ", FormatBytes(inventory.unfinished_bytes),
                    " being written, or left by what was killed, in ", root,
                    "/v1/tmp; the next run of the same machine removes what was left\n");
  }
  for (const std::string& version : inventory.other_versions) {
    absl::StrAppend(&text, "  ", root, "/", version, " is of another version of QwT, which keeps its entries in ",
                    version, " as this one does in v1; if you no longer run it: rm -r ", root, "/", version, "\n");
  }
  return text;
}

std::string Headline(const std::string& root, const Inventory& inventory) {
  return absl::StrCat("store ", root, ": ", Entries(inventory.entries.size()), ", ",
                      FormatBytes(BytesOf(inventory.entries)), "; the disk has ", FormatBytes(FreeBytes(root)),
                      " free\n");
}

std::string TableOfKinds(const std::vector<StoredEntry>& entries) {
  const int64_t total = std::max<int64_t>(1, BytesOf(entries));
  std::vector<std::vector<std::string>> rows = {{"kind", "entries", "size", "share", "oldest", "last used", "in use"}};
  for (const auto& [name, kind] : KindsOf(entries)) {
    rows.push_back({name, GroupedDigits(kind.entries), FormatBytes(kind.bytes),
                    absl::StrFormat("%.0f %%", 100.0 * kind.bytes / total), Ago(kind.made), Ago(kind.used),
                    kind.in_use == 0 ? "-" : GroupedDigits(kind.in_use)});
  }
  return TextTable(
      {Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kRight}, rows);
}

// What tells an entry from others of its kind: the key's last line, where that is no hash.
std::string Part(const StoredEntry& entry) {
  const std::vector<absl::string_view> lines = absl::StrSplit(entry.key_text, '\n', absl::SkipEmpty());
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    for (const absl::string_view name : {"block: ", "model: ", "part: "}) {
      if (absl::StartsWith(*line, name)) return std::string(line->substr(name.size()));
    }
  }
  return "";
}

std::string TableOfEntries(const std::vector<StoredEntry>& entries) {
  std::vector<std::vector<std::string>> rows = {{"hash", "kind", "of", "size", "last used", "in use", "made by"}};
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    rows.push_back({entry->hash.substr(0, 12), entry->kind, Part(*entry), FormatBytes(entry->bytes), Ago(entry->used),
                    entry->in_use ? "yes" : "-", entry->maker});
  }
  return TextTable(
      {Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kLeft}, rows);
}

std::string EntryToText(const std::string& root, const StoredEntry& entry) {
  return absl::StrCat(root, "/v1/", entry.hash.substr(0, 2), "/", entry.hash, "\n  ", FormatBytes(entry.bytes),
                      ", made ", Ago(entry.made), entry.maker.empty() ? "" : " by ", entry.maker, ", last used ",
                      Ago(entry.used), entry.in_use ? ", in use" : "", "\n\n", entry.key_text);
}

bool IsHashPrefix(const std::string& what) {
  return what.size() >= 6 && what.find_first_not_of("0123456789abcdef") == std::string::npos;
}

absl::Status NoSuchEntries(const std::string& root, const std::string& what, const Inventory& inventory) {
  std::vector<std::string> kinds;
  for (const auto& [name, kind] : KindsOf(inventory.entries)) kinds.push_back(name);
  return absl::NotFoundError(absl::StrCat("store '", root, "' has no entry of kind '", what,
                                          "', nor one whose hash begins so; ",
                                          kinds.empty() ? "it is empty" : "there are: ", absl::StrJoin(kinds, ", ")));
}

// "30d", "12h", "2w".
std::optional<std::chrono::seconds> ParseDuration(const std::string& text) {
  const std::map<char, int> seconds = {{'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
  const auto unit = text.empty() ? seconds.end() : seconds.find(text.back());
  int number = 0;
  if (unit == seconds.end() || !absl::SimpleAtoi(text.substr(0, text.size() - 1), &number) || number < 0) {
    return std::nullopt;
  }
  return std::chrono::seconds(int64_t{1} * number * unit->second);
}

}  // namespace

absl::StatusOr<std::string> StoreToText(const std::string& root, const std::string& what, bool each) {
  QWT_ASSIGN_OR_RETURN(const Inventory inventory, TakeInventory(root));
  if (what.empty() && !each) {
    std::string text = Headline(root, inventory);
    if (!inventory.entries.empty()) absl::StrAppend(&text, "\n", TableOfKinds(inventory.entries));
    const std::string others = OtherFiles(root, inventory);
    return absl::StrCat(text, others.empty() ? "" : "\n", others);
  }
  std::vector<StoredEntry> chosen;
  for (const StoredEntry& entry : inventory.entries) {
    const bool wanted =
        what.empty() || entry.kind == what || (IsHashPrefix(what) && absl::StartsWith(entry.hash, what));
    if (wanted) chosen.push_back(entry);
  }
  if (chosen.empty() && !what.empty()) return NoSuchEntries(root, what, inventory);
  if (chosen.size() == 1 && chosen[0].kind != what && !what.empty()) return EntryToText(root, chosen[0]);
  return absl::StrCat("store ", root, ": ", Entries(chosen.size()), ", ", FormatBytes(BytesOf(chosen)), "\n\n",
                      TableOfEntries(chosen));
}

absl::StatusOr<Verification> VerifyStore(const std::string& root, bool drop) {
  QWT_ASSIGN_OR_RETURN(const Inventory inventory, TakeInventory(root));
  Verification verification;
  int found = 0;
  for (const StoredEntry& entry : inventory.entries) {
    const absl::Status status = VerifyStored(root, entry);
    if (status.ok()) continue;
    ++found;
    bool dropped = false;
    // What cannot be read may be whole.
    if (drop && absl::IsDataLoss(status)) {
      QWT_ASSIGN_OR_RETURN(const Removal removal, RemoveStored(root, entry.hash));
      dropped = removal == Removal::kRemoved;
    }
    verification.damaged += !dropped;
    const char* const fate = dropped ? "dropped" : drop ? "in use or unreadable: left" : "damaged";
    absl::StrAppend(&verification.text, "  ", entry.kind, " ", entry.hash, ": ", status.message(), " (", fate, ")\n");
  }
  absl::StrAppend(&verification.text, "store ", root, ": ", Entries(inventory.entries.size()), ", ",
                  FormatBytes(BytesOf(inventory.entries)), " read; ", found == 0 ? "all are whole" : Entries(found),
                  found == 0 ? "" : " damaged", "\n");
  if (verification.damaged > 0 && !drop) {
    absl::StrAppend(&verification.text,
                    "A run that needs a damaged entry drops it and makes it anew; "
                    "--drop does so now.\n");
  }
  return verification;
}

absl::StatusOr<Keep> ParseKeep(const std::vector<std::string>& values) {
  Keep keep;
  for (const std::string& value : values) {
    if (const auto unused = ParseDuration(value)) {
      keep.unused = *unused;
    } else if (const auto bytes = ParseBytes(value)) {
      keep.bytes = *bytes;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--keep=", value,
                                                     ": must be a size as 20GB, 500MB or 1.5TB, or the "
                                                     "time since last use as 30d, 12h or 2w"));
    }
  }
  return keep;
}

absl::StatusOr<std::string> CollectToText(const std::string& root, const Keep& keep, bool dry_run) {
  QWT_ASSIGN_OR_RETURN(const Collected collected, CollectStore(root, keep, dry_run));
  std::string text;
  for (const auto& [name, kind] : KindsOf(collected.removed)) {
    absl::StrAppend(&text, "  ", name, ": ", Entries(kind.entries), ", ", FormatBytes(kind.bytes), ", last used ",
                    Ago(kind.used), "\n");
  }
  absl::StrAppend(&text, "store ", root, ": ", Entries(collected.removed.size()), ", ",
                  FormatBytes(BytesOf(collected.removed)), dry_run ? " would go; " : " removed; ",
                  FormatBytes(collected.left_bytes), dry_run ? " would be left\n" : " left\n");
  if (!collected.in_use.empty()) {
    absl::StrAppend(&text, "  left because runs use them now: ", Entries(collected.in_use.size()), ", ",
                    FormatBytes(BytesOf(collected.in_use)), "\n");
  }
  return text;
}

}  // namespace qwt
