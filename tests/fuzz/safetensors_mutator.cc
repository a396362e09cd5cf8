// Changes the header and then makes its length right: libFuzzer alone rarely gets past a length that is wrong.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  constexpr size_t kLengthBytes = 8;
  uint64_t header_bytes = 0;
  if (size >= kLengthBytes) std::memcpy(&header_bytes, data, kLengthBytes);
  if (seed % 4 == 0 || header_bytes == 0 || size < kLengthBytes || header_bytes > size - kLengthBytes) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  uint8_t* const header = data + kLengthBytes;
  const std::vector<uint8_t> tensors(header + header_bytes, data + size);
  header_bytes = LLVMFuzzerMutate(header, header_bytes, max_size - kLengthBytes);
  std::memcpy(data, &header_bytes, kLengthBytes);
  const size_t tensor_bytes = std::min<size_t>(tensors.size(), max_size - kLengthBytes - header_bytes);
  if (tensor_bytes > 0) std::memcpy(header + header_bytes, tensors.data(), tensor_bytes);
  return kLengthBytes + header_bytes + tensor_bytes;
}
