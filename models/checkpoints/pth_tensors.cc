#include "models/checkpoints/pth_tensors.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>

#include "ATen/ops/empty.h"
#include "ATen/ops/from_blob.h"
#include "core/base/status.h"

namespace qwt {
namespace {

// A copy that is aligned for every dtype.
PthStorageData Copy(const PthStorageData& storage, uint64_t bytes) {
  const std::shared_ptr<char> copy(new char[bytes], std::default_delete<char[]>());
  std::memcpy(copy.get(), storage.data, bytes);
  return {copy, copy.get()};
}

void SwapBytes(char* data, uint64_t bytes, uint64_t element_bytes) {
  for (char* element = data; element != data + bytes; element += element_bytes) {
    std::reverse(element, element + element_bytes);
  }
}

at::Tensor View(const PthStorageData& storage, at::ScalarType dtype, const PthTensor& tensor) {
  if (tensor.elements == 0) return at::empty(tensor.sizes, dtype);
  return at::from_blob(
      storage.data + tensor.offset * c10::elementSize(dtype), tensor.sizes, tensor.strides,
      [owner = storage.owner](void*) {}, dtype);
}

}  // namespace

absl::StatusOr<TensorMap> MakePthTensors(const PthContent& content, bool swap_bytes, const FindPthStorage& find) {
  std::map<std::string, PthStorageData> found;
  TensorMap tensors;
  for (const auto& [name, tensor] : content.tensors) {
    const PthStorage& storage = content.storages.at(tensor.storage);
    const auto [place, is_new] = found.try_emplace(tensor.storage);
    if (is_new) {
      QWT_ASSIGN_OR_RETURN(place->second, find(tensor.storage, storage));
      const uint64_t element_bytes = c10::elementSize(storage.dtype);
      if (swap_bytes) {
        place->second = Copy(place->second, storage.bytes());
        SwapBytes(place->second.data, storage.bytes(), element_bytes);
      }
    }
    tensors[name] = View(place->second, storage.dtype, tensor);
  }
  return tensors;
}

}  // namespace qwt
