// The content-addressed artifact store: a stage's value under the hash of what made it.
//
// Entry: ROOT/v1/<2 hex>/<64 hex>/ with key.txt (the key's text), payload (one file), record.json (size and sha256 of
// payload; written last). Write protocol: a temporary folder on the same file system; each file written and synced; the
// folder renamed into place; the parent synced. The entry counts once record.json is in it. Two processes may write the
// same key at once: the first rename wins. What processes of this host that died left is removed by
// the next Open. Damaged entries are dropped under a lock, so that nobody drops what another has just made anew.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// What made a value, as text: "name: value" lines in the order added. Equal texts, equal entries. A name
// holds no colon, no line break and no space at its start (QWT_CHECK).
class StoreKey {
 public:
  StoreKey(const std::string& stage, int stage_version);
  StoreKey& Add(const std::string& name, const std::string& value);  // value may hold several lines; kept unambiguous
  const std::string& text() const { return text_; }
  std::string hash() const;  // sha256 of text

 private:
  std::string text_;
};

class ArtifactStore {
 public:
  // Makes the folder. An error where it cannot be made or written to, saying how to choose another (runtime.store); a
  // store that is there already opens all the same, and can be read.
  static absl::StatusOr<std::unique_ptr<ArtifactStore>> Open(const std::string& root);

  // What Put would say; OK where the store can be written to.
  const absl::Status& writable() const { return writable_; }

  // Whether an entry is there, without reading its payload: for plans.
  bool Contains(const StoreKey& key) const { return Contains(root_, key); }
  static bool Contains(const std::string& root, const StoreKey& key);  // of a store that need not exist
  // The path of the checked payload; nullopt where there is none. A damaged or half-written entry is reported
  // (WARNING), dropped, and counts as none.
  absl::StatusOr<std::optional<std::string>> Lookup(const StoreKey& key);
  // The path of a payload that is there, unchecked: for large ones whose reader checks the parts that it reads, and
  // calls Lookup() where one is wrong.
  std::optional<std::string> Find(const StoreKey& key) const;
  // `write` makes the payload at the path it is given. Returns the payload's path in the store. On any error nothing of
  // it is left.
  absl::StatusOr<std::string> Put(const StoreKey& key,
                                  const std::function<absl::Status(const std::string& path)>& write);

  const std::string& root() const { return root_; }

 private:
  explicit ArtifactStore(std::string root) : root_(std::move(root)) {}
  std::string root_;
  absl::Status writable_;
};

}  // namespace qwt
