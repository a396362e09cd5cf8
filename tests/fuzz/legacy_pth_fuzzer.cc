#include "models/checkpoints/pth.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = qwt::FuzzedFile(data, size);
  const absl::string_view bytes = file->bytes();
  const auto tensors = qwt::ReadLegacyPth(file, qwt::kFuzzedPath);
  file.reset();
  qwt::CheckStatus(tensors.status());
  if (tensors.ok()) qwt::CheckTensors(*tensors, {bytes});
  return 0;
}
