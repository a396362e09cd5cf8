#include "core/base/compression.h"

#include <libdeflate.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"

namespace qwt {
namespace {

constexpr int kLevel = 12;                // the smallest that libdeflate makes
constexpr uint64_t kLargestRatio = 1032;  // deflate's densest code: 258 bytes in two bits

struct FreeCompressor {
  void operator()(libdeflate_compressor* compressor) const { libdeflate_free_compressor(compressor); }
};
struct FreeDecompressor {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

}  // namespace

std::string Compress(absl::string_view text) {
  const std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(libdeflate_alloc_compressor(kLevel));
  QWT_CHECK(compressor != nullptr);
  std::string compressed(libdeflate_zlib_compress_bound(compressor.get(), text.size()), '\0');
  compressed.resize(
      libdeflate_zlib_compress(compressor.get(), text.data(), text.size(), compressed.data(), compressed.size()));
  QWT_CHECK(!compressed.empty());
  return compressed;
}

absl::StatusOr<std::string> Decompress(absl::string_view compressed, uint64_t size) {
  if (size / kLargestRatio > compressed.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(compressed.size(), " compressed bytes cannot hold ", size, " bytes"));
  }
  const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(libdeflate_alloc_decompressor());
  QWT_CHECK(decompressor != nullptr);
  std::string text(size, '\0');
  // Without a place for it, an output of another size is an error.
  const libdeflate_result result = libdeflate_zlib_decompress(decompressor.get(), compressed.data(), compressed.size(),
                                                              text.data(), text.size(), nullptr);
  if (result == LIBDEFLATE_SUCCESS) return text;
  return absl::DataLossError(result == LIBDEFLATE_BAD_DATA
                                 ? "is not in the zlib format"
                                 : absl::StrCat("does not decompress to the ", size, " bytes that it should"));
}

}  // namespace qwt
