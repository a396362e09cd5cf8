// Weights as people publish them: named tensors out of a file of any of these formats, found from its content.
//
//   safetensors      core/tensor/safetensors.h
//   PyTorch zip      .pth since 1.6: a zip of one pickle and a file for each storage
//   PyTorch legacy   .pth before 1.6: five pickles, then the storages
//   NumPy npz        a zip of .npy arrays
//
// A reader builds tensors and containers only: it runs nothing, writes nothing and opens no other file.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"
#include "core/tensor/safetensors.h"

namespace qwt {

struct Checkpoint {
  std::string format;  // as above: "safetensors", "PyTorch zip", "PyTorch legacy", "NumPy npz"
  TensorMap tensors;   // names, dtypes and strides as in the file; views of it, so their numbers need not be aligned:
                       // CopyUnaligned (core/tensor/copy.h) before anything else
};

// The state of a PyTorch file is what stands under "state_dict" or "model", else the whole. NotFound: no such file.
// DataLoss, naming the file, the place and the reason: what is damaged, or asks for more than tensors and containers.
// Takes memory for compressed entries and numbers in another byte order, else little beyond the mapped file.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);
// The same of a file that is mapped already; `path` in messages.
absl::StatusOr<Checkpoint> ParseCheckpoint(const std::shared_ptr<MappedFile>& file, const std::string& path);

}  // namespace qwt
