// What a store holds, and removing it. Works on the files of a store that others use meanwhile, and makes none.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

struct StoredEntry {
  std::string hash;      // 64 hex digits; the folder's name
  std::string kind;      // the stage of the key: "fit.block"; "damaged" where key.txt tells none
  std::string key_text;  // key.txt
  std::string maker;     // the run that made it; "" where that was not written down
  int64_t bytes = 0;     // of all its files
  std::chrono::system_clock::time_point made, used;
  bool in_use = false;  // pinned by a process that runs
};

struct Inventory {
  std::vector<StoredEntry> entries;  // the least recently used first
  int64_t unfinished_bytes = 0;      // being written, or left by processes that were killed
  int64_t index_bytes = 0;           // lists of the images of folders (image_folder), beside the entries
  std::vector<std::string>
      other_versions;  // folders of other layouts than this program's, which it does not read: "v0"
};

// NotFound, saying which folder is no store and how to name another, where there is none.
absl::StatusOr<Inventory> TakeInventory(const std::string& root);

// Reads an entry and compares checksums. DataLoss with what is wrong.
absl::Status VerifyStored(const std::string& root, const StoredEntry& entry);

enum class Removal { kRemoved, kInUse };
// kInUse where a process has it pinned. The entry is gone too where another process has removed it meanwhile. A reader
// that has it mapped goes on reading.
absl::StatusOr<Removal> RemoveStored(const std::string& root, const std::string& hash);

// What is to be left, of all entries or of one kind.
struct Keep {
  std::optional<int64_t> bytes = {};                // of all entries, at most
  std::optional<std::chrono::seconds> unused = {};  // nothing that was last used longer ago
  std::string kind = "";                            // "": of all
};
struct Collected {
  std::vector<StoredEntry> removed;
  std::vector<StoredEntry> in_use;  // that would have had to go
  int64_t left_bytes = 0;
};
// Removes entries, the least recently used first, until what is left holds to `keep`. dry_run: says what it would
// remove.
absl::StatusOr<Collected> CollectStore(const std::string& root, const Keep& keep, bool dry_run);

}  // namespace qwt
