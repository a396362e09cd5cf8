#include "core/store/store.h"

#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/store/entry.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

std::string FolderOf(const std::string& root, const StoreKey& key) { return EntryFolder(root, key.hash()); }

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return FsStatus(error, absl::StrCat("make folder '", path, "'"));
}

// Drops a damaged entry. It is looked at again under the lock: another process may have dropped it and made it anew
// since.
absl::Status DropIfDamaged(const std::string& root, const std::string& folder, const StoreKey& key) {
  const FileLock lock = FileLock::Exclusive(absl::StrCat(root, "/", kVersionFolder, "/lock"));
  std::error_code error;
  if (!fs::exists(folder, error)) return absl::OkStatus();
  const absl::Status status = VerifyEntry(folder, key.text());
  if (!absl::IsDataLoss(status)) return status;
  QWT_LOG(WARNING) << "store: entry " << folder << " is dropped and made again: " << status.message();
  return TakeAway(root, folder);
}

// Removes a temporary folder, whatever became of it.
class Cleanup {
 public:
  explicit Cleanup(std::string folder) : folder_(std::move(folder)) {}
  ~Cleanup() {
    std::error_code error;
    fs::remove_all(folder_, error);
  }

 private:
  std::string folder_;
};

// key.txt, payload and record.json, each synced.
absl::Status Fill(const std::string& folder, const StoreKey& key, const std::string& maker,
                  const std::function<absl::Status(const std::string& path)>& write) {
  QWT_RETURN_IF_ERROR(MakeFolder(folder));
  QWT_RETURN_IF_ERROR(WriteAndSync(absl::StrCat(folder, "/", kKeyFile), {key.text()}));
  const std::string payload = absl::StrCat(folder, "/", kPayloadFile);
  QWT_RETURN_IF_ERROR(CatchExceptions("writing a payload", [&] { return write(payload); }));
  QWT_RETURN_IF_ERROR(SyncPath(payload));
  std::error_code error;
  const uintmax_t bytes = fs::file_size(payload, error);
  QWT_RETURN_IF_ERROR(FsStatus(error, absl::StrCat("read '", payload, "'")));
  QWT_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(payload));
  const std::string record = RecordText({bytes, sha256, maker});
  QWT_RETURN_IF_ERROR(WriteAndSync(absl::StrCat(folder, "/", kRecordFile), {record}));
  return SyncPath(folder);
}

// A newer version of the program keeps what it makes in a folder of its own.
void WarnOfNewer(const std::string& root) {
  int own = 0, other = 0;
  QWT_CHECK(absl::SimpleAtoi(kVersionFolder + 1, &own));
  std::error_code error;
  for (fs::directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (name.rfind('v', 0) != 0 || !absl::SimpleAtoi(name.substr(1), &other) || other <= own) continue;
    QWT_LOG(WARNING) << "store: '" << root << "' also holds entries of format " << other
                     << ", made by a newer version of this program, which reads and writes format " << own
                     << ": they stay, and what they hold is made again";
  }
}

// The error of `root`'s store; where it is about a file of the store (a full disk, no permission), with the way out.
absl::Status StoreError(const absl::Status& status, const std::string& root) {
  if (status.ok()) return status;
  const bool own_file = absl::StrContains(status.message(), absl::StrCat("'", root, "/"));
  return absl::Status(status.code(), absl::StrCat("store '", root, "': ", status.message(),
                                                  own_file ? "; choose another folder with runtime.store=DIR" : ""));
}

}  // namespace

StoreKey::StoreKey(const std::string& stage, int stage_version) {
  text_ = absl::StrCat("format: 1\nstage: ", stage, " ", stage_version, "\n");
}

StoreKey& StoreKey::Add(const std::string& name, const std::string& value) {
  QWT_CHECK(!name.empty() && name[0] != ' ' && name.find_first_of(":\n") == std::string::npos);
  // Further lines of a value are indented, so that none reads as a line of its own.
  absl::StrAppend(&text_, name, ": ", absl::StrReplaceAll(value, {{"\n", "\n  "}}), "\n");
  return *this;
}

std::string StoreKey::hash() const { return Sha256(text_); }

// The entries that this store has given out, each under a lock that others share and whoever removes entries takes
// alone.
class ArtifactStore::Pins {
 public:
  // Marks an entry as used now, and as in use. False where it is not there (any more).
  bool Pin(const std::string& folder) {
    const std::string record = absl::StrCat(folder, "/", kRecordFile);
    const std::lock_guard<std::mutex> guard(mutex_);
    auto held = pins_.find(folder);
    if (held != pins_.end() && held->second.IsOf(record)) {
      held->second.Touch();
      return true;
    }
    FileLock lock = FileLock::Shared(record);
    while (lock.opened() && !lock.IsOf(record)) lock = FileLock::Shared(record);  // replaced while we waited
    // What cannot be opened for want of file numbers is there all the same, unpinned: what is mapped stays readable.
    if (!lock.opened()) return fs::exists(record, ignored_);
    lock.Touch();
    Hold(folder, std::move(lock));
    return true;
  }
  // Of one that is still to be renamed to `folder`.
  void Keep(const std::string& folder, FileLock lock) {
    const std::lock_guard<std::mutex> guard(mutex_);
    Hold(folder, std::move(lock));
  }
  void Unpin(const std::string& folder) {
    const std::lock_guard<std::mutex> guard(mutex_);
    pins_.erase(folder);
  }

 private:
  // Each pin holds a file number, and images, ranks and payloads need some too: pins take at most half of those that
  // the process may have. The entries beyond are there all the same, unpinned.
  void Hold(const std::string& folder, FileLock lock) {
    pins_.erase(folder);
    if (pins_.size() < MostPins()) pins_[folder] = std::move(lock);
  }
  static size_t MostPins() {
    rlimit files = {};
    return getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur / 2 : 0;
  }

  std::mutex mutex_;
  std::error_code ignored_;
  std::map<std::string, FileLock> pins_;  // by the entry's folder
};

ArtifactStore::ArtifactStore(std::string root) : root_(std::move(root)), pins_(std::make_unique<Pins>()) {}
ArtifactStore::~ArtifactStore() = default;

absl::StatusOr<std::unique_ptr<ArtifactStore>> ArtifactStore::Open(const std::string& root) {
  const std::string probe = TemporaryPath(root, "probe");
  absl::Status status = MakeFolder(fs::path(probe).parent_path());
  if (status.ok()) status = WriteAndSync(probe, {"writable\n"});
  std::error_code ignored;
  fs::remove(probe, ignored);
  status = StoreError(status, root);
  const bool is_there = fs::is_directory(absl::StrCat(root, "/", kVersionFolder), ignored);
  const bool closed = absl::IsPermissionDenied(status) || absl::IsResourceExhausted(status);  // read-only; a full disk
  if (!status.ok() && !(is_there && closed)) return status;
  WarnOfNewer(root);
  std::unique_ptr<ArtifactStore> store(new ArtifactStore(root));
  store->writable_ = status;
  if (status.ok()) RemoveLeftovers(root);
  return store;
}

bool ArtifactStore::Contains(const std::string& root, const StoreKey& key) {
  std::error_code error;
  return fs::exists(absl::StrCat(FolderOf(root, key), "/", kRecordFile), error);
}

std::optional<std::string> ArtifactStore::Find(const StoreKey& key) {
  const std::string folder = FolderOf(root_, key);
  if (!pins_->Pin(folder)) return std::nullopt;
  return absl::StrCat(folder, "/", kPayloadFile);
}

absl::StatusOr<std::optional<std::string>> ArtifactStore::Lookup(const StoreKey& key) {
  const std::string folder = FolderOf(root_, key);
  pins_->Pin(folder);
  std::error_code error;
  if (!fs::exists(folder, error)) return std::nullopt;
  const absl::Status status = VerifyEntry(folder, key.text());
  if (status.ok()) return absl::StrCat(folder, "/", kPayloadFile);
  pins_->Unpin(folder);
  if (!absl::IsDataLoss(status)) return StoreError(status, root_);
  const absl::Status dropped = DropIfDamaged(root_, folder, key);
  if (!dropped.ok()) return StoreError(dropped, root_);
  return std::nullopt;
}

std::string ArtifactStore::ScratchPath() const { return TemporaryPath(root_, "scratch"); }

void ArtifactStore::Unpin(const StoreKey& key) { pins_->Unpin(FolderOf(root_, key)); }

absl::StatusOr<std::string> ArtifactStore::Put(const StoreKey& key,
                                               const std::function<absl::Status(const std::string& path)>& write) {
  const std::string folder = FolderOf(root_, key), temporary = TemporaryPath(root_, "put");
  const Cleanup cleanup(temporary);
  const std::string parent = fs::path(folder).parent_path();
  absl::Status status = Fill(temporary, key, maker_, write);
  if (status.ok()) status = MakeFolder(parent);
  if (!status.ok()) return StoreError(status, root_);
  FileLock lock = FileLock::Shared(absl::StrCat(temporary, "/", kRecordFile));
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (std::rename(temporary.c_str(), folder.c_str()) == 0) {
      pins_->Keep(folder, std::move(lock));
      status = SyncPath(parent);
      if (status.ok()) status = SyncPath(fs::path(parent).parent_path());
      if (!status.ok()) return StoreError(status, root_);
      return absl::StrCat(folder, "/", kPayloadFile);
    }
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) {
      return StoreError(ErrnoStatus(errno, absl::StrCat("rename to '", folder, "'")), root_);
    }
    // Another process was first. Its entry counts where it is whole; Lookup drops it where it is not.
    QWT_ASSIGN_OR_RETURN(std::optional<std::string> payload, Lookup(key));
    if (payload.has_value()) return *payload;
  }
  return StoreError(absl::UnavailableError(absl::StrCat("'", folder, "' cannot be replaced")), root_);
}

}  // namespace qwt
