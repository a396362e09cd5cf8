// Makes the checksums of a tar's headers right after a change: libarchive stops at a wrong one.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

constexpr size_t kBlock = 512, kChecksum = 148, kChecksumBytes = 8, kMagic = 257;

void MendHeaders(uint8_t* data, size_t size) {
  for (size_t at = 0; at + kBlock <= size; at += kBlock) {
    uint8_t* const header = data + at;
    if (std::memcmp(header + kMagic, "ustar", 5) != 0) continue;
    unsigned sum = ' ' * kChecksumBytes;
    for (size_t i = 0; i < kBlock; ++i) {
      if (i < kChecksum || i >= kChecksum + kChecksumBytes) sum += header[i];
    }
    std::snprintf(reinterpret_cast<char*>(header + kChecksum), kChecksumBytes, "%06o", sum);
    header[kChecksum + kChecksumBytes - 1] = ' ';
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  if (seed % 4 == 0 || size < kBlock) {
    size = LLVMFuzzerMutate(data, size, max_size);
  } else {  // one block, so that the others stay where they are
    uint8_t* const block = data + seed / 4 % (size / kBlock) * kBlock;
    uint8_t changed[kBlock];
    std::memcpy(changed, block, kBlock);
    const size_t bytes = LLVMFuzzerMutate(changed, kBlock, kBlock);
    std::memcpy(block, changed, bytes);
  }
  if (seed % 16 != 1) MendHeaders(data, size);
  return size;
}
