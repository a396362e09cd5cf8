// The content-addressed artifact store: a stage's value under the hash of what made it.
//
// Entry: ROOT/v1/<2 hex>/<64 hex>/ with key.txt (the key's text), payload (one file), record.json (size and sha256 of
// the payload; written last).
//
// Write protocol: a folder of this process under ROOT/v1/tmp, on the same file system; payload, key and record written
// and synced in this order; the folder renamed into place; its parents synced. Two processes may write the same key at
// once: the first rename wins, the other takes what is there. What processes that died left in tmp is removed by the
// next Open on the same machine. Damaged entries are renamed away under a lock, so that nobody drops what another has
// just made anew.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// What made a value, as text: "name: value" lines in the order added. Equal texts, equal entries. A name holds no
// colon, line break or space at its start (QWT_CHECK).
class StoreKey {
 public:
  StoreKey(const std::string& stage, int stage_version);
  // The value may hold several lines: all but the first are indented, so that none reads as another name.
  StoreKey& Add(const std::string& name, const std::string& value);
  const std::string& text() const { return text_; }
  std::string hash() const;  // sha256 of text

 private:
  std::string text_;
};

class ArtifactStore {
 public:
  // Makes the folder. An error where it cannot be made or written to, saying how to choose another (runtime.store).
  static absl::StatusOr<std::unique_ptr<ArtifactStore>> Open(const std::string& root);

  // Whether an entry is there, without reading its payload: for plans.
  bool Contains(const StoreKey& key) const;
  // The path of the checked payload; nullopt where there is none. A damaged or half-written entry is reported
  // (WARNING), dropped, and counts as none.
  absl::StatusOr<std::optional<std::string>> Lookup(const StoreKey& key);
  // `write` makes the payload, a file, at the path it is given. Returns the payload's path in the store, which is
  // another process's where that was first. On any error nothing of it is left.
  absl::StatusOr<std::string> Put(const StoreKey& key,
                                  const std::function<absl::Status(const std::string& path)>& write);

  const std::string& root() const { return root_; }

 private:
  explicit ArtifactStore(std::string root) : root_(std::move(root)) {}
  std::string EntryFolder(const StoreKey& key) const;
  std::string TemporaryFolder() const;  // a new name at each call
  absl::Status Hint(const absl::Status& status) const;
  void RemoveLeftovers() const;
  absl::Status WriteEntry(const StoreKey& key, const std::string& folder,
                          const std::function<absl::Status(const std::string& path)>& write) const;
  absl::StatusOr<std::string> Place(const StoreKey& key, const std::string& folder) const;
  absl::Status DropIfDamaged(const StoreKey& key) const;

  std::string root_;
};

}  // namespace qwt
