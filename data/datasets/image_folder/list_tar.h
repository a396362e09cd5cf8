// The images of a split in a tar, which is not unpacked.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"
#include "data/datasets/image_folder/list_folder.h"

namespace qwt {

// Members CLASS/*.{jpg,jpeg,png}, perhaps all below one more folder; or a tar for each class (n01440764.tar), as
// ImageNet's training images come; or images in no folder, or with `flat` all in one: then there are no classes.
// Offsets are those in the whole file. Only headers are read. DataLoss, beginning with `path`: a compressed, damaged or
// cut tar, a sparse member, a link, an image twice, folders of other depths, a class without images.
absl::StatusOr<Listing> ListTar(const MappedFile& file, const std::string& path, bool flat);

}  // namespace qwt
