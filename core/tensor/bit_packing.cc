#include "core/tensor/bit_packing.h"

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"

namespace qwt {

int64_t PackedBytes(int64_t count, int bits) { return (count * bits + 7) / 8; }

at::Tensor PackBits(const at::Tensor& codes, int bits) {
  const at::Tensor input = codes.contiguous();
  at::Tensor packed = at::empty({PackedBytes(input.numel(), bits)}, at::kByte);
  const uint8_t* from = input.data_ptr<uint8_t>();
  uint8_t* to = packed.data_ptr<uint8_t>();
  uint32_t waiting = 0;  // bits that fill no byte yet
  int count = 0;
  for (int64_t i = 0; i < input.numel(); ++i) {
    waiting |= static_cast<uint32_t>(from[i]) << count;
    for (count += bits; count >= 8; count -= 8) {
      *to++ = static_cast<uint8_t>(waiting);
      waiting >>= 8;
    }
  }
  if (count > 0) *to = static_cast<uint8_t>(waiting);
  return packed;
}

absl::StatusOr<at::Tensor> UnpackBits(const at::Tensor& packed, int bits, at::IntArrayRef shape) {
  int64_t codes_wanted = 1;
  for (int64_t size : shape) codes_wanted *= size;
  if (packed.scalar_type() != at::kByte || packed.numel() != PackedBytes(codes_wanted, bits)) {
    return absl::DataLossError(absl::StrCat(codes_wanted, " codes of ", bits, " bits take ",
                                            PackedBytes(codes_wanted, bits), " bytes, there are ", packed.nbytes()));
  }
  const at::Tensor input = packed.contiguous();
  at::Tensor codes = at::empty(shape, at::kByte);
  const uint8_t* from = input.data_ptr<uint8_t>();
  uint8_t* to = codes.data_ptr<uint8_t>();
  const uint32_t mask = (1u << bits) - 1;
  uint32_t waiting = 0;
  int count = 0;
  for (int64_t i = 0; i < codes_wanted; ++i) {
    if (count < bits) {
      waiting |= static_cast<uint32_t>(*from++) << count;
      count += 8;
    }
    to[i] = static_cast<uint8_t>(waiting & mask);
    waiting >>= bits;
    count -= bits;
  }
  return codes;
}

}  // namespace qwt
