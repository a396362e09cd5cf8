#include "models/checkpoints/checkpoint.h"

#include "core/base/status.h"

namespace qwt {

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const std::shared_ptr<MappedFile> file, MappedFile::Open(path));
  return ParseCheckpoint(file, path);
}

absl::StatusOr<Checkpoint> ParseCheckpoint(const std::shared_ptr<MappedFile>& file, const std::string& path) {
  QWT_ASSIGN_OR_RETURN(TensorFile tensors, ParseSafetensors(file, path));
  return Checkpoint{"safetensors", std::move(tensors.tensors)};
}

}  // namespace qwt
