#include "core/store/entry.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

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

// The host, and the namespace that its process ids count in: containers of one machine may share its name.
std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  std::error_code error;
  const std::string pid_namespace = fs::read_symlink("/proc/self/ns/pid", error).string();
  return absl::StrReplaceAll(absl::StrCat(name, "-", pid_namespace),
                             {{"/", "_"}, {"~", "_"}, {"pid:[", ""}, {"]", ""}});  // "pid:[4026531836]"
}

std::string TemporaryFolder(const std::string& root) {
  return absl::StrCat(root, "/", kVersionFolder, "/", kTemporaryFolder);
}

}  // namespace

std::string EntryFolder(const std::string& root, const std::string& hash) {
  return absl::StrCat(root, "/", kVersionFolder, "/", hash.substr(0, 2), "/", hash);
}

std::string TemporaryPath(const std::string& root, const std::string& purpose) {
  static std::atomic<int> made{0};
  return absl::StrCat(TemporaryFolder(root), "/", HostName(), "~", getpid(), "~", purpose, "~", made++);
}

void RemoveLeftovers(const std::string& root) {
  const std::string prefix = HostName() + "~";
  std::error_code error;
  for (fs::directory_iterator entry(TemporaryFolder(root), error), end; !error && entry != end;
       entry.increment(error)) {
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

absl::Status FsStatus(const std::error_code& error, const std::string& what) {
  return error ? ErrnoStatus(error.value(), what) : absl::OkStatus();
}

std::string RecordText(const EntryRecord& record) {
  nlohmann::ordered_json json = {{"bytes", record.bytes}, {"sha256", record.sha256}};
  if (!record.maker.empty()) json["maker"] = record.maker;
  // A name that is no UTF-8 must not keep a value from being stored.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

absl::StatusOr<EntryRecord> ReadRecord(const std::string& folder) {
  auto text = ReadFile(absl::StrCat(folder, "/", kRecordFile));
  if (absl::IsNotFound(text.status())) return absl::DataLossError("record.json is missing: it was half written");
  if (!text.ok()) return text.status();
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("bytes") || !json["bytes"].is_number_integer() || !json.contains("sha256") ||
      !json["sha256"].is_string()) {
    return absl::DataLossError("record.json is damaged");
  }
  EntryRecord record{json["bytes"].get<uint64_t>(), json["sha256"].get<std::string>(), ""};
  if (json.contains("maker") && json["maker"].is_string()) record.maker = json["maker"].get<std::string>();
  return record;
}

absl::Status VerifyEntry(const std::string& folder, const std::optional<std::string>& key_text) {
  auto text = ReadFile(absl::StrCat(folder, "/", kKeyFile));
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  if (!text.ok() || (key_text.has_value() ? *text != *key_text : Sha256(*text) != fs::path(folder).filename())) {
    return absl::DataLossError("key.txt is missing or is another entry's");
  }
  QWT_ASSIGN_OR_RETURN(const EntryRecord record, ReadRecord(folder));
  const std::string payload = absl::StrCat(folder, "/", kPayloadFile);
  std::error_code error;
  const uintmax_t bytes = fs::file_size(payload, error);
  if (error == std::errc::no_such_file_or_directory) return absl::DataLossError("its payload is missing");
  QWT_RETURN_IF_ERROR(FsStatus(error, absl::StrCat("read '", payload, "'")));
  if (bytes != record.bytes) {
    return absl::DataLossError(absl::StrCat("its payload has ", bytes, " bytes, ", record.bytes, " were written"));
  }
  QWT_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(payload));
  if (sha256 != record.sha256) return absl::DataLossError("its payload's checksum differs");
  return absl::OkStatus();
}

FileLock::FileLock(const std::string& path, int flags, int operation)
    : file_(open(path.c_str(), flags | O_CLOEXEC, 0666)) {
  if (file_ < 0) return;
  int result = 0;
  do {
    result = flock(file_, operation);
  } while (result != 0 && errno == EINTR);
  held_ = result == 0;
}

FileLock FileLock::Exclusive(const std::string& path) { return FileLock(path, O_RDWR | O_CREAT, LOCK_EX); }
FileLock FileLock::Shared(const std::string& path) { return FileLock(path, O_RDONLY, LOCK_SH); }
// For writing, where that is allowed: NFS gives no exclusive lock on what is open for reading.
FileLock FileLock::TryExclusive(const std::string& path) {
  FileLock lock(path, O_RDWR, LOCK_EX | LOCK_NB);
  return lock.opened() ? std::move(lock) : FileLock(path, O_RDONLY, LOCK_EX | LOCK_NB);
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(file_, other.file_);  // other's destructor lets go of ours
  std::swap(held_, other.held_);
  return *this;
}

FileLock::~FileLock() {
  if (file_ >= 0) close(file_);
}

bool FileLock::IsOf(const std::string& path) const {
  struct stat locked = {}, named = {};
  return file_ >= 0 && fstat(file_, &locked) == 0 && stat(path.c_str(), &named) == 0 && locked.st_dev == named.st_dev &&
         locked.st_ino == named.st_ino;
}

void FileLock::Touch() const {
  if (file_ >= 0) futimens(file_, nullptr);
}

absl::Status TakeAway(const std::string& root, const std::string& folder) {
  const std::string away = TemporaryPath(root, "removed");
  std::error_code error;
  fs::create_directories(TemporaryFolder(root), error);
  fs::rename(folder, away, error);
  if (error == std::errc::no_such_file_or_directory) return absl::OkStatus();  // another process has removed it
  QWT_RETURN_IF_ERROR(FsStatus(error, absl::StrCat("remove '", folder, "'")));
  fs::remove_all(away, error);
  return absl::OkStatus();
}

}  // namespace qwt
