// PyTorch's files: a pickle of the state and raw storages, in a zip or one after the other.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"
#include "core/tensor/safetensors.h"
#include "models/checkpoints/zip.h"

namespace qwt {

// See checkpoint.h for what is read and which errors there are. Views keep the archive's file.
absl::StatusOr<TensorMap> ReadZipPth(const ZipArchive& archive, const std::string& path);
// The same of a file that is no archive.
absl::StatusOr<TensorMap> ReadLegacyPth(const std::shared_ptr<MappedFile>& file, const std::string& path);

}  // namespace qwt
