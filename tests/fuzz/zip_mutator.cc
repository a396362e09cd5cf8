// Changes what an entry of a zip archive holds and packs it again: changes of the bytes themselves nearly always end at
// the CRC-32, and what reads pickles and arrays would see none of them.
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "models/checkpoints/zip.h"
#include "models/checkpoints/zip_writer.h"
#include "tests/fuzz/fuzz.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace qwt {
namespace {

// Empty where the bytes are no archive that can be read.
std::vector<ZipEntry> Unpack(const uint8_t* data, size_t size) {
  std::vector<ZipEntry> entries;
  const auto archive = ZipArchive::Open(FuzzedFile(data, size), kFuzzedPath);
  if (!archive.ok()) return entries;
  for (const auto& [name, entry] : archive->entries()) {
    const auto content = archive->Read(name);
    if (!content.ok()) return {};
    entries.push_back({name, std::string(content->bytes()), entry.method != 0});
  }
  return entries;
}

void Mutate(std::string* text, size_t max_size) {
  const size_t size = text->size();
  text->resize(std::max(size, max_size));
  text->resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text->data()), size, text->size()));
}

// A few bytes less or more at the end, where readers are wrong by one; libFuzzer's own changes rarely are that small.
void Nudge(std::string* text, std::minstd_rand& random) {
  const size_t bytes = 1 + random() % 8;
  text->resize(random() % 2 == 0 ? text->size() + bytes : text->size() - std::min(text->size(), bytes));
}

// Mostly the pickle where there is one: storages are only numbers.
ZipEntry& Choose(std::vector<ZipEntry>& entries, std::minstd_rand& random) {
  for (ZipEntry& entry : entries) {
    if (absl::EndsWith(entry.name, ".pkl") && random() % 4 != 0) return entry;
  }
  return entries[random() % entries.size()];
}

}  // namespace
}  // namespace qwt

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  std::vector<qwt::ZipEntry> entries;
  if (random() % 8 != 0) entries = qwt::Unpack(data, size);
  if (entries.empty()) return LLVMFuzzerMutate(data, size, max_size);
  qwt::ZipEntry& entry = qwt::Choose(entries, random);
  const size_t room = max_size - std::min(size, max_size);
  if (random() % 8 == 0) {
    qwt::Nudge(&entry.content, random);
  } else {
    qwt::Mutate(random() % 16 == 0 ? &entry.name : &entry.content, entry.content.size() + std::min<size_t>(room, 1024));
  }
  if (random() % 16 == 0) entry.deflate = !entry.deflate;
  if (random() % 16 == 0) entry.zip64 = !entry.zip64;
  if (random() % 16 == 0) entry.descriptor = !entry.descriptor;
  const std::string file = MakeZip(entries, {/*zip64_end=*/random() % 16 == 0, /*crc32=*/random() % 16 != 0, ""});
  if (file.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(file.begin(), file.end(), data);
  return file.size();
}
