#include "models/checkpoints/checkpoint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "models/checkpoints/little_endian.h"
#include "models/checkpoints/npz.h"
#include "models/checkpoints/pth.h"
#include "models/checkpoints/text.h"
#include "models/checkpoints/zip.h"

namespace qwt {
namespace {

constexpr absl::string_view kFormats = "safetensors, PyTorch (.pth) and NumPy (.npz)";
constexpr absl::string_view kPickle = "data.pkl";
constexpr uint64_t kTextBytes = 512;   // what is looked at to tell text from numbers
constexpr uint64_t kQuotedBytes = 60;  // of what we do not know
constexpr uint64_t kTarMagicOffset = 257;

// What stands in the place of a checkpoint, known by what it begins with.
struct Foreign {
  absl::string_view magic;
  absl::string_view message;
};
constexpr Foreign kForeign[] = {
    {"version https://git-lfs", "is a Git LFS pointer, not the file itself: run `git lfs pull`"},
    {"\x1f\x8b", "is compressed with gzip: unpack it with `gunzip`"},
    {"BZh", "is compressed with bzip2: unpack it with `bunzip2`"},
    {"\xfd"
     "7zXZ",
     "is compressed with xz: unpack it with `unxz`"},
    {"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it with `unzstd`"},
    {"\x89HDF\r\n", "is an HDF5 file, as Keras and PyTables write them: save its arrays as .npz"},
    {"\x93NUMPY", "is a single .npy array, which has no name: save all arrays as .npz"},
    {"GGUF", "is a GGUF file, whose weights are quantised already: take the float weights as .safetensors"},
};

absl::Status Refused(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

bool IsText(absl::string_view bytes) {
  bytes = bytes.substr(0, kTextBytes);
  return std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) { return c >= 0x20 || absl::ascii_isspace(c); });
}

std::string DescribeText(absl::string_view bytes) {
  bytes = absl::StripLeadingAsciiWhitespace(bytes);
  const absl::string_view kind = absl::StartsWith(bytes, "<")                                   ? "a web page"
                                 : absl::StartsWith(bytes, "{") || absl::StartsWith(bytes, "[") ? "JSON"
                                                                                                : "text";
  return absl::StrCat("is ", kind, ", no checkpoint; it begins with ", QuoteForMessage(bytes.substr(0, kQuotedBytes)),
                      ". What a server says in place of a file looks so: fetch it again");
}

// The format's first 8 bytes are its header's length: the upper four are 0 below 4 GiB.
bool HasSmallLength(absl::string_view bytes) { return bytes.size() >= 8 && LittleEndian<uint32_t>(bytes, 4) == 0; }

// Also what is one but for its header, so that the reader can say what is wrong with that.
bool IsSafetensors(absl::string_view bytes) {
  return bytes.size() >= 8 &&
         ((bytes.size() > 8 && bytes[8] == '{') || LittleEndian<uint64_t>(bytes, 0) <= bytes.size() - 8);
}

// PROTO and a protocol there is.
bool IsPickle(absl::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x80' && static_cast<unsigned char>(bytes[1]) <= 5 && !HasSmallLength(bytes);
}

// ir_version, a small number, then producer_name: fields 1 and 2 of the ModelProto.
bool IsOnnx(absl::string_view bytes) {
  return bytes.size() >= 3 && bytes[0] == 0x08 && bytes[1] > 0 && bytes[1] < 32 && bytes[2] == 0x12 &&
         !HasSmallLength(bytes);
}

absl::StatusOr<Checkpoint> ParseZip(const std::shared_ptr<MappedFile>& file, const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const ZipArchive archive, ZipArchive::Open(file, path));
  bool has_pickle = false, has_array = false;
  std::vector<std::string> names;
  for (const auto& [name, entry] : archive.entries()) {
    has_pickle |= name == kPickle || absl::EndsWith(name, absl::StrCat("/", kPickle));
    has_array |= absl::EndsWith(name, ".npy");
    if (names.size() < 3) names.push_back(QuoteForMessage(name));
  }
  if (has_pickle) {
    QWT_ASSIGN_OR_RETURN(TensorMap tensors, ReadZipPth(archive, path));
    return Checkpoint{"PyTorch zip", std::move(tensors)};
  }
  if (has_array) {
    QWT_ASSIGN_OR_RETURN(TensorMap tensors, ReadNpz(archive, path));
    return Checkpoint{"NumPy npz", std::move(tensors)};
  }
  if (names.empty()) return Refused(path, "is a zip archive without entries");
  return Refused(path,
                 absl::StrCat("is a zip archive with neither a data.pkl, as PyTorch's have, nor .npy arrays; it has ",
                              absl::StrJoin(names, ", "), archive.entries().size() > names.size() ? ", …" : "",
                              ". If the checkpoint is inside, unpack it"));
}

}  // namespace

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const std::shared_ptr<MappedFile> file, MappedFile::Open(path));
  return ParseCheckpoint(file, path);
}

absl::StatusOr<Checkpoint> ParseCheckpoint(const std::shared_ptr<MappedFile>& file, const std::string& path) {
  const absl::string_view bytes = file->bytes();
  if (bytes.empty()) return Refused(path, "is empty: fetch it again");
  if (absl::StartsWith(bytes, "PK\3\4") || absl::StartsWith(bytes, "PK\5\6")) return ParseZip(file, path);
  for (const Foreign& foreign : kForeign) {
    if (absl::StartsWith(bytes, foreign.magic)) return Refused(path, foreign.message);
  }
  if (bytes.size() > kTarMagicOffset && absl::StartsWith(bytes.substr(kTarMagicOffset), "ustar")) {
    return Refused(path,
                   "is a tar archive: unpack it with `tar -xf`. If that gives files named storages, tensors and "
                   "pickle, PyTorch before 0.1.10 made it: load it with a newer PyTorch and save it again");
  }
  if (IsText(bytes)) return Refused(path, DescribeText(bytes));
  if (IsPickle(bytes)) {
    QWT_ASSIGN_OR_RETURN(TensorMap tensors, ReadLegacyPth(file, path));
    return Checkpoint{"PyTorch legacy", std::move(tensors)};
  }
  if (IsOnnx(bytes)) {
    return Refused(path, "is an ONNX model: take the weights it was exported from, as .pth or .safetensors");
  }
  if (IsSafetensors(bytes)) {
    QWT_ASSIGN_OR_RETURN(TensorFile content, ParseSafetensors(file, path));
    return Checkpoint{"safetensors", std::move(content.tensors)};
  }
  return Refused(path, absl::StrCat("is of no format that is read: ", kFormats, ". Its ", bytes.size(),
                                    " bytes begin with ", QuoteForMessage(bytes.substr(0, kQuotedBytes))));
}

}  // namespace qwt
