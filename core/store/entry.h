// An entry of the store on disk, for what works on the store's files: its names, its checks and the lock of who uses
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

inline constexpr char kVersionFolder[] = "v1", kTemporaryFolder[] = "tmp";
inline constexpr char kKeyFile[] = "key.txt", kPayloadFile[] = "payload", kRecordFile[] = "record.json";

// Of the entry whose key has this hash.
std::string EntryFolder(const std::string& root, const std::string& hash);

// A new path in the store's temporary folder; what a process that has died left there, the next Open removes.
// `purpose`: no "~" in it.
std::string TemporaryPath(const std::string& root, const std::string& purpose);
// Removes what processes of this host that are no more left in the temporary folder.
void RemoveLeftovers(const std::string& root);

absl::Status FsStatus(const std::error_code& error, const std::string& what);

// What record.json says.
struct EntryRecord {
  uint64_t bytes = 0;  // of the payload
  std::string sha256;  // of the payload
  std::string maker;   // "" where it was not said
};
std::string RecordText(const EntryRecord& record);
// DataLoss with what is wrong with it; any other error: it cannot be read, which says nothing against it.
absl::StatusOr<EntryRecord> ReadRecord(const std::string& folder);

// Reads the whole entry. key_text: what key.txt must hold; nullopt: what the folder's name is the hash of. Errors as
// ReadRecord's.
absl::Status VerifyEntry(const std::string& folder, const std::optional<std::string>& key_text);

// A lock of the kernel's on a file, which ends with the process however that ends.
class FileLock {
 public:
  // Waits for it. Where there is none to be had (a file system without locks) it is not held.
  static FileLock Exclusive(const std::string& path);  // makes the file
  static FileLock Shared(const std::string& path);     // of a file that is there
  // Does not wait.
  static FileLock TryExclusive(const std::string& path);

  FileLock() = default;
  FileLock(FileLock&& other) noexcept : file_(other.file_), held_(other.held_) { other.file_ = -1; }
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();
  bool held() const { return held_ && file_ >= 0; }
  bool opened() const { return file_ >= 0; }
  // Whether the file that was locked still is what the path names.
  bool IsOf(const std::string& path) const;
  void Touch() const;  // sets the file's time to now, where that is allowed

 private:
  FileLock(const std::string& path, int flags, int operation);
  int file_ = -1;
  bool held_ = false;
};

// Takes an entry out of the store: renamed away first, so that no reader meets it half removed.
absl::Status TakeAway(const std::string& root, const std::string& folder);

}  // namespace qwt
