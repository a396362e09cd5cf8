// Fashion-MNIST and whatever else comes as the same four IDX files.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace qwt {

// Grey 28 x 28 images in ten classes, three equal channels, the whole split in memory. `root` holds
// {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each perhaps with ".gz"; "" is the embedded
// example (512 training, 10,000 test images). NotFound: no such folder or file. DataLoss, naming the file: not these
// data, or damaged.
absl::StatusOr<std::unique_ptr<Dataset>> OpenFashionMnist(const std::string& root, Split split);

}  // namespace qwt
