// NumPy's .npz: a zip of arrays.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/checkpoints/zip.h"

namespace qwt {

// Arrays by entry name without ".npy"; entries of other names are left out. Versions 1 to 3 of the header, numbers and
// booleans in either byte order and either storage order. DataLoss, naming `path` and the entry, for anything else.
absl::StatusOr<TensorMap> ReadNpz(const ZipArchive& archive, const std::string& path);

}  // namespace qwt
