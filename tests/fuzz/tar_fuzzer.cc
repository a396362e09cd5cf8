#include "core/base/log.h"
#include "data/datasets/image_folder/list_tar.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = qwt::FuzzedFile(data, size);
  for (bool flat : {false, true}) {
    const auto listing = qwt::ListTar(*file, qwt::kFuzzedPath, flat);
    qwt::CheckStatus(listing.status());
    if (!listing.ok()) continue;
    QWT_CHECK(listing->images.size() > 0);
    for (int64_t i = 0; i < listing->images.size(); ++i) {
      const auto image = listing->images[i];
      QWT_CHECK(image.offset <= size && image.bytes <= size - image.offset);
      qwt::CheckBytes(file->bytes().substr(image.offset, image.bytes));
      QWT_CHECK(image.label == 0 || image.label < listing->classes.size());
    }
    const std::string fingerprint(64, 'f');
    const auto index = listing->images.Build(
        listing->classes.empty() ? std::vector<std::string>{"all"} : listing->classes, fingerprint);
    QWT_CHECK(index.ok() && index->size() == listing->images.size());
  }
  return 0;
}
