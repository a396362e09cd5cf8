// Named tensors in a file: the safetensors format (8-byte header length, JSON header, data).
#pragma once

#include <map>
#include <memory>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"

namespace qwt {

using TensorMap = std::map<std::string, at::Tensor>;

struct TensorFile {
  TensorMap tensors;
  std::map<std::string, std::string> metadata;  // the header's __metadata__
};

// Tensors are views of the memory-mapped file (copy before writing to them). NotFound: no such file. DataLoss, naming
// file and tensor: a header that is no JSON, a length past the end, overlapping or unaligned data, an unknown dtype, a
// size that does not fit its shape.
absl::StatusOr<TensorFile> ReadSafetensors(const std::string& path);
// The same of a file that is mapped already; `path` in messages.
absl::StatusOr<TensorFile> ParseSafetensors(const std::shared_ptr<MappedFile>& file, const std::string& path);

// Writes beside the target, syncs, renames: the target is whole or untouched. Contiguous CPU tensors; the same content
// gives the same bytes.
absl::Status WriteSafetensors(const std::string& path, const TensorFile& file);

}  // namespace qwt
