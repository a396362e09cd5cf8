// Labels of a split whose images lie in no class folders, from a list in one of the forms that ImageNet's come in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/datasets/image_folder/image_index.h"

namespace qwt {

// A list as it stands. Line ends may be CR LF.
//   ImageId,PredictionString / ILSVRC2012_val_00048981,n03995372 85 1 499 272    Kaggle's LOC_val_solution.csv
//   ILSVRC2012_val_00000001.JPEG 65                                              Caffe's val.txt; or a class's name
//   n01751748, or 65                                                             one a line, images in order of names
struct GroundTruth {
  struct Line {
    std::string image = {};  // empty: the next one
    std::string label = {};
    int64_t number = -1;
    int line = 0;
  };
  std::string path = {};  // of the list, for messages
  std::vector<Line> lines = {};
  bool named = false;    // lines name their images
  bool numbers = false;  // labels are integers
};

// InvalidArgument "PATH:LINE: ..." for what does not look like the first line.
absl::StatusOr<GroundTruth> ParseGroundTruth(absl::string_view text, const std::string& path);

// Names of classes, by the number that a list has for them less one: the first word of each line.
struct ClassOrder {
  std::string path = {};
  std::vector<std::string> names = {};
};
absl::StatusOr<ClassOrder> ParseClassOrder(absl::string_view text, const std::string& path);

// Gives every image of a flat split (sorted by path) its label and returns the classes' names in their order, which is
// that of the names: `classes` (sorted, those of the training images) or where it is empty, those in the list. Numbers
// are places in that order, from 0; with `order` (path empty: none) they are places in it, from 1. InvalidArgument,
// "PATH:LINE: ...": an image without a label or a label without an image, a name twice, a class that is unknown or out
// of range, and numbers that begin with 1 without an order: whoever counts so mostly has an order of his own.
// `split` is the images' place, for messages.
absl::StatusOr<std::vector<std::string>> LabelImages(const GroundTruth& list, const ClassOrder& order,
                                                     const std::vector<std::string>& classes, const std::string& split,
                                                     ImageIndexBuilder* images);

}  // namespace qwt
