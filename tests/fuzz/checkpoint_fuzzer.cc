#include "models/checkpoints/checkpoint.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = qwt::FuzzedFile(data, size);
  const absl::string_view bytes = file->bytes();
  const auto checkpoint = qwt::ParseCheckpoint(file, qwt::kFuzzedPath);
  file.reset();
  qwt::CheckStatus(checkpoint.status());
  if (checkpoint.ok()) qwt::CheckTensors(checkpoint->tensors, {bytes});
  return 0;
}
