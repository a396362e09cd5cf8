#include "ATen/core/Tensor.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "data/datasets/image_folder/decode.h"
#include "tests/fuzz/fuzz.h"

namespace {

// As whole images are, or undefined.
at::Tensor Decode(absl::string_view bytes, int64_t least_side) {
  const auto pixels = qwt::DecodeImage(bytes, least_side);
  qwt::CheckStatus(qwt::Annotate(pixels.status(), qwt::kFuzzedPath));
  if (!pixels.ok()) return at::Tensor();
  QWT_CHECK(pixels->scalar_type() == at::kByte && pixels->dim() == 3 && pixels->size(2) == 3);
  QWT_CHECK(pixels->size(0) > 0 && pixels->size(1) > 0);
  qwt::CheckTensors({{"pixels", *pixels}}, {});
  return *pixels;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kLeastSide = 9;
  const auto file = qwt::FuzzedFile(data, size);
  const at::Tensor full = Decode(file->bytes(), 0), scaled = Decode(file->bytes(), kLeastSide);
  QWT_CHECK(full.defined() == scaled.defined());
  if (!full.defined()) return 0;
  for (int side : {0, 1}) {
    QWT_CHECK(scaled.size(side) <= full.size(side));
    QWT_CHECK(scaled.size(side) == full.size(side) || scaled.size(side) >= kLeastSide);
  }
  return 0;
}
