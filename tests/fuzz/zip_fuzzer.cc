#include <cstdlib>

#include "models/checkpoints/zip.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = qwt::FuzzedFile(data, size);
  const auto archive = qwt::ZipArchive::Open(file, qwt::kFuzzedPath);
  qwt::CheckStatus(archive.status());
  if (!archive.ok()) return 0;
  uint64_t compressed_bytes = 0;
  for (const auto& [name, entry] : archive->entries()) {
    const auto content = archive->Read(name);
    qwt::CheckStatus(content.status());
    compressed_bytes += entry.compressed_size;
    if (entry.offset > size || entry.compressed_size > size - entry.offset) std::abort();  // past the end
    if (!content.ok()) continue;
    if (content->size != entry.size) std::abort();
    qwt::CheckBytes(content->bytes());
  }
  if (compressed_bytes > size) std::abort();  // entries overlap
  return 0;
}
