// Finds the images of a split: a folder or a tar, with or without class folders, listed or taken from the index that an
// earlier start kept.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "data/datasets/image_folder/image_index.h"

namespace qwt {

struct SplitOptions {
  std::string root = {}, split = {};      // ROOT/SPLIT is a folder, or it or ROOT/SPLIT.tar a tar
  std::string class_split = {};           // the split whose classes number those of the ground truth; "": none
  std::string ground_truth = {};          // of a flat split: list of labels
  std::string ground_truth_classes = {};  // the order that the numbers in it refer to
  std::string cache_folder = {};          // where indices are kept; "": nowhere
};

struct OpenedSplit {
  std::string path = {};  // of the folder or the tar
  bool tar = false;
  uint64_t tar_bytes = 0;
  int64_t tar_changed_ns = 0;  // time of last change
  std::shared_ptr<const ImageIndex> index = {};
  // Indices that were made now and are to be kept: the file's path and its content. Not of what changed in the last two
  // seconds: times may be too coarse to show the next change.
  std::vector<std::pair<std::string, std::shared_ptr<const ImageIndex>>> unsaved = {};
};

// NotFound, DataLoss, InvalidArgument: what list_folder.h, list_tar.h and ground_truth.h say.
absl::StatusOr<OpenedSplit> OpenSplit(const SplitOptions& options);

// Writes what is unsaved, making the cache folder where the folder that it belongs into is there. Failures are logged:
// the next start lists the images again.
void SaveIndices(const OpenedSplit& split);

}  // namespace qwt
