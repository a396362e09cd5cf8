#include "absl/strings/match.h"
#include "core/base/log.h"
#include "data/datasets/image_folder/ground_truth.h"
#include "tests/fuzz/fuzz.h"

namespace {

void CheckError(const absl::Status& status) {
  QWT_CHECK(status.code() == absl::StatusCode::kInvalidArgument &&
            absl::StartsWith(status.message(), qwt::kFuzzedPath));
}

void Label(const qwt::GroundTruth& list, const qwt::ClassOrder& order, const std::vector<std::string>& known) {
  qwt::ImageIndexBuilder images;
  for (const char* name : {"a.JPEG", "b.JPEG", "val/c.png"}) images.Add(name, 1, 0);
  const auto classes = qwt::LabelImages(list, order, known, "val", &images);
  if (!classes.ok()) return CheckError(classes.status());
  QWT_CHECK(known.empty() || *classes == known);
  for (int64_t i = 0; i < images.size(); ++i) {
    QWT_CHECK(images[i].label < classes->size());
    qwt::CheckBytes((*classes)[images[i].label]);
  }
}

}  // namespace

// The list, and after a zero byte the order of its numbers.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = qwt::FuzzedFile(data, size);
  const size_t zero = file->bytes().find('\0');
  const auto list = qwt::ParseGroundTruth(file->bytes().substr(0, zero), qwt::kFuzzedPath);
  if (!list.ok()) CheckError(list.status());
  absl::StatusOr<qwt::ClassOrder> order = qwt::ClassOrder();
  if (zero != absl::string_view::npos) {
    order = qwt::ParseClassOrder(file->bytes().substr(zero + 1), qwt::kFuzzedPath);
    if (!order.ok()) CheckError(order.status());
  }
  if (!list.ok() || !order.ok()) return 0;
  Label(*list, *order, {});
  Label(*list, *order, {"1", "n01", "n02"});
  return 0;
}
