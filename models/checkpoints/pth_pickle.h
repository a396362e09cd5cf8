// What the pickle of a PyTorch file says: storages, and the tensors of the state over them. No numbers yet.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "c10/core/ScalarType.h"
#include "models/checkpoints/pickle.h"

namespace qwt {

// The Python names that a checkpoint's pickles may hold.
absl::Span<const PickleGlobal> PthGlobals();

struct PthStorage {
  at::ScalarType dtype = at::kFloat;
  uint64_t elements = 0;

  uint64_t bytes() const { return elements * c10::elementSize(dtype); }  // fits 64 bits
};

// A tensor whose every element lies in its storage.
struct PthTensor {
  std::string storage;                  // its key
  std::vector<int64_t> sizes, strides;  // as many, at most 64, none negative
  int64_t offset = 0;                   // of the first element in the storage, in elements
  int64_t elements = 0;                 // product of the sizes
};

struct PthContent {
  std::map<std::string, PthStorage> storages;  // by key; all that the pickle names, also those of no tensor
  std::map<std::string, PthTensor> tensors;    // by name
};

// `legacy`: persistent ids have a sixth item, a view of the storage. DataLoss, naming `path` and the storage or tensor:
// malformed persistent ids, a storage of two types or sizes, a value in the state that is no tensor, a layout that
// leaves its storage, more than 16 MiB that strides of 0 would make of less, more than 20,000 tensors.
absl::StatusOr<PthContent> ReadPthContent(const Pickle& pickle, bool legacy, const std::string& path);

}  // namespace qwt
