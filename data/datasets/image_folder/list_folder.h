// The images of a split that lies unpacked in a folder.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/datasets/image_folder/image_index.h"

namespace qwt {

// What a split has, from a folder or a tar.
struct Listing {
  ImageIndexBuilder images = {};          // sorted; label 0 where there are no classes
  std::vector<std::string> classes = {};  // in byte order; none: the images lie in no class folders
};

// .jpg, .jpeg or .png, in upper or lower case, and not beginning with a dot.
bool IsImageName(absl::string_view name);

// Names of the folders in a folder, in byte order; none that begins with a dot.
absl::StatusOr<std::vector<std::string>> ClassFolders(const std::string& folder);

// The images in the folders, sorted by path, or where `classes` is empty those that lie in the split's folder itself.
// Other files and folders are passed over. A file that cannot be looked at (a link to nothing) has size 0: who reads it
// will be told. NotFound: a folder without images.
absl::StatusOr<Listing> ListFolder(const std::string& split_folder, const std::vector<std::string>& classes);

}  // namespace qwt
