#include "core/store/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "nlohmann/json.hpp"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kFormatVersion = 1;
constexpr int kPlaceAttempts = 10;

// "host.N", N the namespace that this process's id counts in: containers of one machine may share its name.
std::string Owner() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  std::error_code error;
  const std::string space = fs::read_symlink("/proc/self/ns/pid", error).string();  // "pid:[4026531836]"
  return absl::StrCat(host, ".", absl::StrReplaceAll(space, {{"pid:[", ""}, {"]", ""}}));
}

absl::Status MakeFolders(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? ErrnoStatus(error.value(), absl::StrCat("create '", path, "'")) : absl::OkStatus();
}

void RemoveAll(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) QWT_LOG(WARNING) << "store: cannot remove '" << path << "': " << error.message();
}

// OK: the entry is whole. NotFound: there is none. DataLoss: what is wrong with it. Others: it could not be read.
absl::Status VerifyEntry(const std::string& folder, const StoreKey& key) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(folder, error))) return absl::NotFoundError("no entry");
  auto read = [&](const std::string& name) -> absl::StatusOr<std::string> {
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(folder, "/", name));
    if (absl::IsNotFound(text.status())) return absl::DataLossError(absl::StrCat(name, " is missing"));
    return text;
  };
  QWT_ASSIGN_OR_RETURN(const std::string record_text, read("record.json"));
  QWT_ASSIGN_OR_RETURN(const std::string key_text, read("key.txt"));
  if (key_text != key.text()) return absl::DataLossError("key.txt is not the text of its key");
  const Json record = Json::parse(record_text, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains("size") || !record["size"].is_number_unsigned() ||
      !record.contains("sha256") || !record["sha256"].is_string()) {
    return absl::DataLossError("record.json is not a record");
  }
  const std::string payload = absl::StrCat(folder, "/payload");
  const uint64_t size = fs::file_size(payload, error);
  if (error == std::errc::no_such_file_or_directory) return absl::DataLossError("payload is missing");
  if (error) return ErrnoStatus(error.value(), absl::StrCat("read '", payload, "'"));
  const auto recorded_size = record["size"].get<uint64_t>();
  if (size != recorded_size) {
    return absl::DataLossError(absl::StrCat("payload has ", size, " bytes, its record says ", recorded_size));
  }
  QWT_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(payload));
  if (record["sha256"] != sha256) return absl::DataLossError("payload's sha256 is not that of its record");
  return absl::OkStatus();
}

// Held while a damaged entry is renamed away; released when closed, also by the end of the process.
class Lock {
 public:
  explicit Lock(const std::string& path) : file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (file_ < 0) {
      status_ = ErrnoStatus(errno, absl::StrCat("lock '", path, "'"));
      return;
    }
    while (flock(file_, LOCK_EX) != 0) {
      if (errno == EINTR) continue;
      status_ = ErrnoStatus(errno, absl::StrCat("lock '", path, "'"));
      return;
    }
  }
  ~Lock() {
    if (file_ >= 0) close(file_);
  }
  Lock(const Lock&) = delete;
  const absl::Status& status() const { return status_; }

 private:
  int file_;
  absl::Status status_;
};

}  // namespace

StoreKey::StoreKey(const std::string& stage, int stage_version) {
  Add("format", absl::StrCat(kFormatVersion)).Add("stage", stage).Add("stage_version", absl::StrCat(stage_version));
}

StoreKey& StoreKey::Add(const std::string& name, const std::string& value) {
  QWT_CHECK(!name.empty() && name[0] != ' ' && name.find_first_of(":\n") == std::string::npos);
  absl::StrAppend(&text_, name, ": ", absl::StrReplaceAll(value, {{"\n", "\n    "}}), "\n");
  return *this;
}

std::string StoreKey::hash() const { return Sha256(text_); }

absl::StatusOr<std::unique_ptr<ArtifactStore>> ArtifactStore::Open(const std::string& root) {
  std::unique_ptr<ArtifactStore> store(new ArtifactStore(root));
  QWT_RETURN_IF_ERROR(store->Hint(MakeFolders(absl::StrCat(root, "/v1/tmp"))));
  // Whether it can be written to, the file system says best itself.
  const std::string probe = store->TemporaryFolder();
  if (mkdir(probe.c_str(), 0777) != 0) return store->Hint(ErrnoStatus(errno, absl::StrCat("create '", probe, "'")));
  rmdir(probe.c_str());
  store->RemoveLeftovers();
  return store;
}

std::string ArtifactStore::EntryFolder(const StoreKey& key) const {
  const std::string hash = key.hash();
  return absl::StrCat(root_, "/v1/", hash.substr(0, 2), "/", hash);
}

std::string ArtifactStore::TemporaryFolder() const {
  static std::atomic<int> counter{0};
  return absl::StrCat(root_, "/v1/tmp/", Owner(), ".", getpid(), ".", counter++);
}

// The errors of the store itself, with the way out of them.
absl::Status ArtifactStore::Hint(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("store '", root_, "': ", status.message(),
                                                  "; choose another folder with runtime.store=DIR"));
}

void ArtifactStore::RemoveLeftovers() const {
  const std::string ours = absl::StrCat(Owner(), ".");
  std::error_code error;
  std::vector<std::string> leftovers;
  for (fs::directory_iterator it(absl::StrCat(root_, "/v1/tmp"), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!absl::StartsWith(name, ours)) continue;
    const std::vector<std::string> pid_and_count = absl::StrSplit(name.substr(ours.size()), '.');
    int pid = 0;
    const bool dead = absl::SimpleAtoi(pid_and_count[0], &pid) && pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
    if (dead) leftovers.push_back(it->path().string());
  }
  for (const std::string& leftover : leftovers) {
    QWT_LOG(INFO) << "store: removing what an earlier run left: " << leftover;
    RemoveAll(leftover);
  }
}

bool ArtifactStore::Contains(const StoreKey& key) const {
  std::error_code error;
  return fs::exists(absl::StrCat(EntryFolder(key), "/record.json"), error);
}

absl::StatusOr<std::optional<std::string>> ArtifactStore::Lookup(const StoreKey& key) {
  const std::string folder = EntryFolder(key);
  const absl::Status status = VerifyEntry(folder, key);
  if (status.ok()) return absl::StrCat(folder, "/payload");
  if (absl::IsDataLoss(status)) QWT_RETURN_IF_ERROR(Hint(DropIfDamaged(key)));
  if (absl::IsDataLoss(status) || absl::IsNotFound(status)) return std::nullopt;
  return Hint(status);
}

// Looks again under the lock: another process may have dropped it and made it anew since.
absl::Status ArtifactStore::DropIfDamaged(const StoreKey& key) const {
  const std::string folder = EntryFolder(key);
  const std::string trash = TemporaryFolder();
  {
    const Lock lock(absl::StrCat(root_, "/v1/lock"));
    QWT_RETURN_IF_ERROR(lock.status());
    const absl::Status status = VerifyEntry(folder, key);
    if (!absl::IsDataLoss(status)) return absl::OkStatus();
    const std::vector<std::string> lines = absl::StrSplit(key.text(), '\n');
    QWT_LOG(WARNING) << "store: entry " << key.hash().substr(0, 12) << " (" << lines[1]
                     << ") is damaged: " << status.message() << "; dropped, it will be made again";
    if (rename(folder.c_str(), trash.c_str()) != 0) return ErrnoStatus(errno, absl::StrCat("remove '", folder, "'"));
  }
  RemoveAll(trash);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ArtifactStore::Put(const StoreKey& key,
                                               const std::function<absl::Status(const std::string& path)>& write) {
  const std::string folder = TemporaryFolder();
  const absl::Status written = WriteEntry(key, folder, write);
  absl::StatusOr<std::string> payload = written.ok() ? Place(key, folder) : written;
  RemoveAll(folder);  // there is none where it was renamed into place
  return payload;
}

// The folder with all three files, synced.
absl::Status ArtifactStore::WriteEntry(const StoreKey& key, const std::string& folder,
                                       const std::function<absl::Status(const std::string& path)>& write) const {
  const std::string payload = absl::StrCat(folder, "/payload");
  QWT_RETURN_IF_ERROR(Hint(MakeFolders(folder)));
  const absl::Status written = CatchExceptions("writing a payload", [&] { return write(payload); });
  // A message about our folder is the store's trouble (its disk is full), any other the writer's own.
  if (!written.ok()) return absl::StrContains(written.message(), folder) ? Hint(written) : written;
  std::error_code error;
  if (!fs::is_regular_file(payload, error)) {
    return absl::InternalError(absl::StrCat("store '", root_, "': the writer of a payload made no file"));
  }
  QWT_RETURN_IF_ERROR(Hint(SyncPath(payload)));
  const absl::StatusOr<std::string> sha256 = Sha256OfFile(payload);
  QWT_RETURN_IF_ERROR(Hint(sha256.status()));
  const uint64_t size = fs::file_size(payload, error);
  if (error) return Hint(ErrnoStatus(error.value(), absl::StrCat("read '", payload, "'")));
  const std::string record = Json({{"size", size}, {"sha256", *sha256}}).dump() + "\n";
  QWT_RETURN_IF_ERROR(Hint(WriteAndSync(absl::StrCat(folder, "/key.txt"), {key.text()})));
  QWT_RETURN_IF_ERROR(Hint(WriteAndSync(absl::StrCat(folder, "/record.json"), {record})));
  return Hint(SyncPath(folder));
}

absl::StatusOr<std::string> ArtifactStore::Place(const StoreKey& key, const std::string& folder) const {
  const std::string target = EntryFolder(key);
  const std::string parent = fs::path(target).parent_path().string();
  QWT_RETURN_IF_ERROR(Hint(MakeFolders(parent)));
  for (int attempt = 0; attempt < kPlaceAttempts; ++attempt) {
    if (rename(folder.c_str(), target.c_str()) == 0) {
      QWT_RETURN_IF_ERROR(Hint(SyncPath(parent)));
      QWT_RETURN_IF_ERROR(Hint(SyncPath(absl::StrCat(root_, "/v1"))));
      return absl::StrCat(target, "/payload");
    }
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) {
      return Hint(ErrnoStatus(errno, absl::StrCat("create '", target, "'")));
    }
    const absl::Status theirs = VerifyEntry(target, key);
    if (theirs.ok()) return absl::StrCat(target, "/payload");
    if (absl::IsDataLoss(theirs)) {
      QWT_RETURN_IF_ERROR(Hint(DropIfDamaged(key)));
    } else if (!absl::IsNotFound(theirs)) {
      return Hint(theirs);
    }
  }
  return Hint(absl::UnavailableError(absl::StrCat("'", target, "' is damaged again and again")));
}

}  // namespace qwt
