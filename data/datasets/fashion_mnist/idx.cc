#include "data/datasets/fashion_mnist/idx.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr int64_t kLargestArrayBytes = int64_t{1} << 31;
constexpr int64_t kChunkBytes = int64_t{1} << 20;
constexpr uint32_t kUint8Magic = 0x00000800;  // the lowest byte is the number of dimensions

struct GzClose {
  void operator()(gzFile file) const { gzclose(file); }
};
using GzHandle = std::unique_ptr<gzFile_s, GzClose>;

// Appends up to `count` bytes to *bytes; fewer at the file's end. zlib passes plain files through.
absl::Status Append(gzFile file, int64_t count, std::vector<uint8_t>* bytes) {
  while (count > 0) {
    const int64_t chunk = std::min(count, kChunkBytes);
    const size_t old_size = bytes->size();
    bytes->resize(old_size + chunk);  // by chunks: a false header must not allocate what it claims
    const int got = gzread(file, bytes->data() + old_size, static_cast<unsigned>(chunk));
    bytes->resize(old_size + std::max(got, 0));
    int code = Z_OK;
    const char* message = gzerror(file, &code);
    if (code == Z_ERRNO) return ErrnoStatus(errno, "read");
    if (code == Z_BUF_ERROR) return absl::DataLossError("truncated gzip data");
    if (got < 0) {
      absl::string_view text = message;  // "PATH: incorrect data check"
      const size_t colon = text.rfind(": ");
      return absl::DataLossError(
          absl::StrCat("corrupted gzip data: ", colon == absl::string_view::npos ? text : text.substr(colon + 2)));
    }
    if (got < chunk) return absl::OkStatus();
    count -= got;
  }
  return absl::OkStatus();
}

uint32_t BigEndian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

absl::StatusOr<std::vector<int64_t>> ReadHeader(gzFile file, int rank) {
  std::vector<uint8_t> header;
  const int64_t header_bytes = 4 + 4 * rank;
  QWT_RETURN_IF_ERROR(Append(file, header_bytes, &header));
  const uint32_t expected = kUint8Magic | rank;
  if (header.size() >= 4 && BigEndian(header.data()) != expected) {
    return absl::DataLossError(
        absl::StrFormat("not an IDX file of uint8 with %d dimensions: begins with 0x%08x, must be 0x%08x", rank,
                        BigEndian(header.data()), expected));
  }
  if (static_cast<int64_t>(header.size()) < header_bytes) {
    return absl::DataLossError(
        absl::StrCat("truncated: ", header.size(), " bytes, the header alone has ", header_bytes));
  }
  std::vector<int64_t> dimensions;
  for (int i = 0; i < rank; ++i) dimensions.push_back(BigEndian(&header[4 + 4 * i]));
  return dimensions;
}

absl::StatusOr<IdxArray> Read(gzFile file, int rank) {
  IdxArray array;
  QWT_ASSIGN_OR_RETURN(array.dimensions, ReadHeader(file, rank));
  const std::string shape = absl::StrCat("[", absl::StrJoin(array.dimensions, ", "), "]");
  int64_t count = 1;
  for (int64_t dimension : array.dimensions) {
    if (dimension > 0 && count > kLargestArrayBytes / dimension) {
      return absl::DataLossError(
          absl::StrCat("the header says ", shape, ", more than the ", kLargestArrayBytes, " bytes that are allowed"));
    }
    count *= dimension;
  }
  // One byte more than needed finds trailing bytes, and lets zlib check the checksum behind the data.
  QWT_RETURN_IF_ERROR(Append(file, count + 1, &array.values));
  const int64_t found = array.values.size();
  if (found < count) {
    return absl::DataLossError(
        absl::StrCat("truncated: the header says ", shape, ", ", count, " bytes, the file has ", found));
  }
  if (found > count) {
    return absl::DataLossError(absl::StrCat("more data than the header says: ", shape, ", ", count, " bytes"));
  }
  return array;
}

}  // namespace

absl::StatusOr<IdxArray> ReadIdx(const std::string& path, int rank) {
  errno = 0;
  GzHandle file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) return ErrnoStatus(errno == 0 ? ENOMEM : errno, absl::StrCat("open '", path, "'"));
  gzbuffer(file.get(), 1 << 17);
  absl::StatusOr<IdxArray> array = Read(file.get(), rank);
  if (!array.ok()) return Annotate(array.status(), path);
  return array;
}

}  // namespace qwt
