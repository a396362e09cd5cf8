#include "core/store/store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr char kVersionFolder[] = "v1", kTemporaryFolder[] = "tmp";
constexpr char kKeyFile[] = "key.txt", kPayloadFile[] = "payload", kRecordFile[] = "record.json";

// The host, and the namespace that its process ids count in: containers of one machine may share its name.
std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  std::error_code error;
  const std::string pid_namespace = fs::read_symlink("/proc/self/ns/pid", error).string();
  return absl::StrReplaceAll(absl::StrCat(name, "-", pid_namespace),
                             {{"/", "_"}, {"~", "_"}, {"pid:[", ""}, {"]", ""}});  // "pid:[4026531836]"
}

std::string EntryFolder(const std::string& root, const StoreKey& key) {
  const std::string hash = key.hash();
  return absl::StrCat(root, "/", kVersionFolder, "/", hash.substr(0, 2), "/", hash);
}

absl::Status FsStatus(const std::error_code& error, const std::string& what) {
  return error ? ErrnoStatus(error.value(), what) : absl::OkStatus();
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return FsStatus(error, absl::StrCat("make folder '", path, "'"));
}

// Temporary folders of processes of this host that are no more.
void RemoveLeftovers(const std::string& folder) {
  const std::string prefix = HostName() + "~";
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename();
    int pid = 0;
    if (name.rfind(prefix, 0) != 0) continue;
    const std::vector<std::string> parts = absl::StrSplit(name.substr(prefix.size()), '~');
    if (!absl::SimpleAtoi(parts[0], &pid) || pid == getpid() || kill(pid, 0) == 0 || errno != ESRCH) continue;
    std::error_code ignored;
    fs::remove_all(entry->path(), ignored);
    QWT_LOG(INFO) << "store: removed what a stopped run left: " << entry->path().string();
  }
}

// DataLoss with what is wrong with an entry; OK where it is whole. Any other: it cannot be read, which says nothing
// against it.
absl::Status Verify(const std::string& folder, const StoreKey& key) {
  auto text = ReadFile(absl::StrCat(folder, "/", kKeyFile));
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  if (!text.ok() || *text != key.text()) return absl::DataLossError("key.txt is missing or is another entry's");
  auto record = ReadFile(absl::StrCat(folder, "/", kRecordFile));
  if (!record.ok() && !absl::IsNotFound(record.status())) return record.status();
  if (!record.ok()) return absl::DataLossError("record.json is missing: it was half written");
  const nlohmann::json json = nlohmann::json::parse(*record, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("bytes") || !json["bytes"].is_number_integer() || !json.contains("sha256") ||
      !json["sha256"].is_string()) {
    return absl::DataLossError("record.json is damaged");
  }
  const std::string payload = absl::StrCat(folder, "/", kPayloadFile);
  std::error_code error;
  const uintmax_t bytes = fs::file_size(payload, error);
  if (error == std::errc::no_such_file_or_directory) return absl::DataLossError("its payload is missing");
  QWT_RETURN_IF_ERROR(FsStatus(error, absl::StrCat("read '", payload, "'")));
  if (bytes != json["bytes"].get<uintmax_t>()) {
    return absl::DataLossError(
        absl::StrCat("its payload has ", bytes, " bytes, ", json["bytes"].get<uintmax_t>(), " were written"));
  }
  QWT_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(payload));
  if (sha256 != json["sha256"].get<std::string>()) return absl::DataLossError("its payload's checksum differs");
  return absl::OkStatus();
}

// Held while an entry is looked at and renamed away; the system lets go of it when the process ends.
class Lock {
 public:
  explicit Lock(const std::string& path) : file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    while (file_ >= 0 && flock(file_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~Lock() {
    if (file_ >= 0) close(file_);
  }
  Lock(const Lock&) = delete;

 private:
  int file_;  // -1 where there is no lock to be had: dropping goes on without
};

// Drops a damaged entry, renamed away first so that no reader meets it half removed. It is looked at again under the
// lock: another process may have dropped it and made it anew since.
absl::Status DropIfDamaged(const std::string& root, const std::string& folder, const StoreKey& key) {
  static std::atomic<int> dropped{0};
  const std::string version = absl::StrCat(root, "/", kVersionFolder);
  const std::string away =
      absl::StrCat(version, "/", kTemporaryFolder, "/", HostName(), "~", getpid(), "~dropped~", dropped++);
  std::error_code error;
  {
    const Lock lock(absl::StrCat(version, "/lock"));
    if (!fs::exists(folder, error)) return absl::OkStatus();
    const absl::Status status = Verify(folder, key);
    if (!absl::IsDataLoss(status)) return status;
    QWT_LOG(WARNING) << "store: entry " << folder << " is dropped and made again: " << status.message();
    fs::rename(folder, away, error);
    if (error) return FsStatus(error, absl::StrCat("remove '", folder, "'"));
  }
  fs::remove_all(away, error);
  return absl::OkStatus();
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
absl::Status Fill(const std::string& folder, const StoreKey& key,
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
  const nlohmann::ordered_json record = {{"bytes", bytes}, {"sha256", sha256}};
  QWT_RETURN_IF_ERROR(WriteAndSync(absl::StrCat(folder, "/", kRecordFile), {record.dump() + "\n"}));
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

absl::StatusOr<std::unique_ptr<ArtifactStore>> ArtifactStore::Open(const std::string& root) {
  const std::string temporary = absl::StrCat(root, "/", kVersionFolder, "/", kTemporaryFolder);
  const std::string probe = absl::StrCat(temporary, "/", HostName(), "~", getpid(), "~probe");
  absl::Status status = MakeFolder(temporary);
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
  if (status.ok()) RemoveLeftovers(temporary);
  return store;
}

bool ArtifactStore::Contains(const std::string& root, const StoreKey& key) {
  std::error_code error;
  return fs::exists(absl::StrCat(EntryFolder(root, key), "/", kRecordFile), error);
}

std::optional<std::string> ArtifactStore::Find(const StoreKey& key) const {
  if (!Contains(key)) return std::nullopt;
  return absl::StrCat(EntryFolder(root_, key), "/", kPayloadFile);
}

absl::StatusOr<std::optional<std::string>> ArtifactStore::Lookup(const StoreKey& key) {
  const std::string folder = EntryFolder(root_, key);
  std::error_code error;
  if (!fs::exists(folder, error)) return std::nullopt;
  const absl::Status status = Verify(folder, key);
  if (status.ok()) return absl::StrCat(folder, "/", kPayloadFile);
  if (!absl::IsDataLoss(status)) return StoreError(status, root_);
  const absl::Status dropped = DropIfDamaged(root_, folder, key);
  if (!dropped.ok()) return StoreError(dropped, root_);
  return std::nullopt;
}

absl::StatusOr<std::string> ArtifactStore::Put(const StoreKey& key,
                                               const std::function<absl::Status(const std::string& path)>& write) {
  static std::atomic<int> puts{0};
  const std::string folder = EntryFolder(root_, key);
  const std::string temporary =
      absl::StrCat(root_, "/", kVersionFolder, "/", kTemporaryFolder, "/", HostName(), "~", getpid(), "~", puts++);
  const Cleanup cleanup(temporary);
  const std::string parent = fs::path(folder).parent_path();
  absl::Status status = Fill(temporary, key, write);
  if (status.ok()) status = MakeFolder(parent);
  if (!status.ok()) return StoreError(status, root_);
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (std::rename(temporary.c_str(), folder.c_str()) == 0) {
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
