// Makes the checksums of a PNG's chunks right after a change: libpng looks at nothing behind a wrong one.
#include <zlib.h>

#include <cstdint>
#include <cstring>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

uint32_t BigEndian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

void MendChunks(uint8_t* data, size_t size) {
  constexpr size_t kSignatureBytes = 8, kFrameBytes = 12;  // length, type and checksum of a chunk
  for (size_t at = kSignatureBytes; at + kFrameBytes <= size;) {
    const size_t length = BigEndian(data + at);
    if (length > size - at - kFrameBytes) return;
    const uint32_t crc = crc32(0, data + at + 4, length + 4);
    for (int i = 0; i < 4; ++i) data[at + 8 + length + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += kFrameBytes + length;
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 0 && size > 8 && std::memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0) MendChunks(data, size);
  return size;
}
