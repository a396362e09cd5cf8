// JPEG and PNG files to 8-bit RGB, as Pillow's Image.open(file).convert("RGB") gives it.
#pragma once

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qwt {

// uint8 [height, width, 3]. The format is told by content. Grey is repeated, palettes are looked up, alpha is dropped
// (not blended), 16-bit grey is clipped at 255, other 16-bit values keep their high byte, EXIF orientation is ignored.
// DataLoss (without the file's name, which is the caller's to add) for an empty, truncated, damaged or unknown file,
// and, before decoding, for more than 20,000 pixels a side or 200 million in all.
absl::StatusOr<at::Tensor> DecodeImage(absl::string_view bytes);

}  // namespace qwt
