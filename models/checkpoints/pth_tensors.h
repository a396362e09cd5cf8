// Tensors over the storages of a PyTorch file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/checkpoints/pth_pickle.h"

namespace qwt {

// Where all the bytes of a storage stand, aligned or not; `owner` keeps them.
struct PthStorageData {
  std::shared_ptr<const void> owner;
  char* data = nullptr;
};
using FindPthStorage = std::function<absl::StatusOr<PthStorageData>(const std::string& key, const PthStorage& storage)>;

// Views of what `find` gives, which is asked once for each storage that a tensor has; not aligned where that is not. A
// storage whose bytes must be swapped is copied. Errors are those of `find`.
absl::StatusOr<TensorMap> MakePthTensors(const PthContent& content, bool swap_bytes, const FindPthStorage& find);

}  // namespace qwt
