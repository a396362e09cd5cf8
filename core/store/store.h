// The content-addressed artifact store: a stage's value under the hash of what made it.
//
// Entry: ROOT/v1/<2 hex>/<64 hex>/ with key.txt (the key's text), payload (one file), record.json (size and sha256 of
// payload, and which run made it; written last; its time is that of the last use). Write protocol: a temporary folder
// on the same file system; each file written and synced; the folder renamed into place; the parent synced. The entry
// counts once record.json is in it. Two processes may write the same key at once: the first rename wins. What processes
// of this host that died left is removed by the next Open. Damaged entries are dropped under a lock, so that nobody
// drops what another has just made anew.
//
// What a store has given out is pinned until the store is closed: a shared lock of the kernel's on record.json, so that
// a process that is killed pins nothing. Who removes entries to make room (core/store/inventory.h) takes that lock
// alone and leaves the entry where it cannot. On a file system without locks nothing is pinned, and never more
// entries than half the files that the process may have open.
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

// Where runs keep what they make unless told otherwise.
inline constexpr char kDefaultStore[] = "~/.cache/qwt/store";

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
  std::optional<std::string> Find(const StoreKey& key);
  // `write` makes the payload at the path it is given. Returns the payload's path in the store. On any error nothing of
  // it is left.
  absl::StatusOr<std::string> Put(const StoreKey& key,
                                  const std::function<absl::Status(const std::string& path)>& write);

  // Lets go of an entry: it may be removed from now on.
  void Unpin(const StoreKey& key);
  // A new path on the store's disk, for a file that nobody else looks at; what is left there when the process has ended
  // is removed by the next Open.
  std::string ScratchPath() const;
  // What makes the entries that are put from now on, for people who ask what fills the disk. Before other threads use
  // the store.
  void SetMaker(std::string maker) { maker_ = std::move(maker); }

  const std::string& root() const { return root_; }
  ~ArtifactStore();

 private:
  class Pins;
  explicit ArtifactStore(std::string root);
  std::string root_, maker_;
  absl::Status writable_;
  std::unique_ptr<Pins> pins_;
};

}  // namespace qwt
