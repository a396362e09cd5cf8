#include "models/checkpoints/npz.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/zip_parts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = qwt::FuzzedFile(data, size);
  auto archive = qwt::ZipArchive::Open(file, qwt::kFuzzedPath);
  if (!archive.ok()) return 0;  // zip_fuzzer looks at these
  const auto parts = qwt::ZipParts(*archive, *file);
  const auto tensors = qwt::ReadNpz(*archive, qwt::kFuzzedPath);
  archive = absl::UnknownError("closed");
  file.reset();
  qwt::CheckStatus(tensors.status());
  if (tensors.ok()) qwt::CheckTensors(*tensors, parts);
  return 0;
}
