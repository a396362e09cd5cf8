#include "core/tensor/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = qwt::FuzzedFile(data, size);
  const absl::string_view bytes = file->bytes();
  const auto read = qwt::ParseSafetensors(file, qwt::kFuzzedPath);
  file.reset();
  qwt::CheckStatus(read.status());
  if (read.ok()) qwt::CheckTensors(read->tensors, {bytes});
  return 0;
}
