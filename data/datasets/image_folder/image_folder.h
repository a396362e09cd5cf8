// Images of classes in a folder or a tar, as ImageNet comes.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/datasets/image_folder/split.h"

namespace qwt {

// Classes are numbered by their names in byte order, images are in the order of class and path. Layouts (docs/images.md
// has them all): ROOT/SPLIT/CLASS/*.{jpg,jpeg,png}; ROOT/SPLIT/*.{jpg,jpeg,png} with a ground truth; either in a tar.
// Get() gives DataLoss, naming the file, for an image that cannot be decoded, FailedPrecondition for one that has
// changed since it was listed or fingerprinted. The fingerprint is of paths, sizes, times of last change (ns) and
// labels, so that no image is read for it. The first Get() keeps the index: a dry run, which reads no image, writes
// nothing. fast_decode: GetScaled() decodes JPEGs scaled.
absl::StatusOr<std::unique_ptr<Dataset>> OpenImageFolder(const SplitOptions& options, bool fast_decode = false);

}  // namespace qwt
