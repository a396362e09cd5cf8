// Tensors on a disk for as long as a process needs them: a file without a name, whose room is free when the process has
// ended, however that ended.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// Not thread safe. What is written is not synced: the system writes it to the disk only where it needs the memory.
class ScratchFile {
 public:
  ScratchFile() = default;
  ScratchFile(const ScratchFile&) = delete;
  ~ScratchFile();

  // Makes the file at the path, which must be new, and takes its name away. Errors of the system, naming the path.
  absl::Status Open(const std::string& path);
  bool is_open() const { return file_ >= 0; }

  // Where the contiguous CPU tensor's bytes now stand. ResourceExhausted where the disk has no room.
  absl::StatusOr<int64_t> Write(const at::Tensor& tensor);
  // Into a contiguous CPU tensor of as many bytes.
  absl::Status Read(int64_t place, const at::Tensor& tensor) const;
  // Lets what is written later have the room.
  void Free(int64_t place, int64_t bytes);

 private:
  int file_ = -1;
  std::string path_;
  int64_t end_ = 0;
  std::multimap<int64_t, int64_t> free_;  // places by their bytes
};

}  // namespace qwt
