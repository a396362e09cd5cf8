// JPEG and PNG files to 8-bit RGB, as Pillow's Image.open(file).convert("RGB") gives it.
#pragma once

#include <cstdint>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qwt {

// uint8 [height, width, 3]. The format is told by content. Grey is repeated, palettes are looked up, alpha is dropped
// (not blended), 16-bit grey is clipped at 255, other 16-bit values keep their high byte, EXIF orientation is ignored.
// least_side > 0: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size (each side rounded up) where neither side gets
// shorter than that: faster, with slightly other pixels than the full size shrunk afterwards. PNG stays as it is.
// DataLoss (without the file's name, which is the caller's to add) for an empty, truncated, damaged or unknown file,
// and, before decoding, for more than 20,000 pixels a side or 200 million in all, more pixels than the file can hold,
// and more scans of a progressive JPEG than 500 or than 2,000 million pixels in all of them together.
absl::StatusOr<at::Tensor> DecodeImage(absl::string_view bytes, int64_t least_side = 0);

// "libjpeg-turbo 2.1.5": whose pixels these are. The version it was built with; the library does not tell its own.
std::string JpegDecoderVersion();

}  // namespace qwt
