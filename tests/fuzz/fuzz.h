// What the fuzzers share. A fuzzer is a file that defines LLVMFuzzerTestOneInput: it reads
// the input with the real reader and hands what comes out to these checks, which end the program where the reader has
// broken its word. run.sh links it with libFuzzer, replay_test.cc feeds it files under any compiler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/tensor/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace qwt {

inline constexpr char kFuzzedPath[] = "FUZZED";  // the path to give to readers: every message must begin with it

inline std::shared_ptr<MappedFile> FuzzedFile(const uint8_t* data, size_t size) {
  return MappedFile::FromBytes({reinterpret_cast<const char*>(data), size});
}

// A reader says OK or DataLoss "FUZZED: ...": no input makes another error, least of all an exception.
void CheckStatus(const absl::Status& status);

// Reads all of them.
void CheckBytes(absl::string_view bytes);

// Each tensor is a dense CPU tensor whose every element lies in its storage, and in that of `parts` in which the
// storage begins. They are where the file's parts that tensors may view are or were: compared, not read. The tensor's
// first and last element and some between are read through its strides, and it is copied and converted to float32 (up
// to 4096 elements: a stride of 0 makes a small file as large as it likes).
void CheckTensors(const TensorMap& tensors, const std::vector<absl::string_view>& parts);

// How often CheckBytes or CheckTensors was given something to look at: what a test that feeds files knows that it does
// not feed nothing by.
int64_t ThingsChecked();

}  // namespace qwt
