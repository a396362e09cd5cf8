// Images in one folder a class, as ImageNet is unpacked.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace qwt {

// ROOT/SPLIT/CLASS/*.{jpg,jpeg,png}, upper or lower case: classes are numbered by the folders' names in byte order,
// images are in the order of their paths. Names that begin with a dot and other files are passed over. NotFound: no
// such folder, no class folders, a class without images. Get() gives DataLoss, naming the file, for an image that
// cannot be decoded. The fingerprint is of relative paths, sizes, times of last change (ns) and labels, so that no
// image is read for it.
absl::StatusOr<std::unique_ptr<Dataset>> OpenImageFolder(const std::string& root, const std::string& split);

}  // namespace qwt
