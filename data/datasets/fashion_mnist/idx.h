// The IDX format of MNIST and its relatives: two zero bytes, the type, the number of dimensions, each dimension as
// big-endian uint32, the values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace qwt {

struct IdxArray {
  std::vector<int64_t> dimensions;
  std::vector<uint8_t> values;  // row-major
};

// Reads an IDX file of uint8 values with `rank` dimensions, gzipped or plain (found from the content). DataLoss, naming
// the file, for anything else: another type or rank, less or more data than the dimensions announce, damaged gzip data,
// more than 2 GiB.
absl::StatusOr<IdxArray> ReadIdx(const std::string& path, int rank);

}  // namespace qwt
