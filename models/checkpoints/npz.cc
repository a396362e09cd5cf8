// An entry is "\x93NUMPY", a version (one byte major, one minor), the header's length (two bytes in version 1, four in
// 2 and 3), the header, and the numbers. The header is a Python dict of exactly three keys (numpy.lib.format):
//
//   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//
// It is matched against just that, without nesting, and never evaluated.
#include "models/checkpoints/npz.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "ATen/ops/empty_strided.h"
#include "ATen/ops/from_blob.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"
#include "core/tensor/byte_size.h"
#include "models/checkpoints/little_endian.h"
#include "models/checkpoints/text.h"

namespace qwt {
namespace {

constexpr absl::string_view kMagic = "\x93NUMPY";
constexpr absl::string_view kSuffix = ".npy";
constexpr size_t kMostDimensions = 64;  // NumPy's own limit

struct DtypeName {
  const char* name;
  at::ScalarType type;
};
constexpr DtypeName kDtypes[] = {
    {"f2", at::kHalf},   {"f4", at::kFloat}, {"f8", at::kDouble},       {"i1", at::kChar},          {"i2", at::kShort},
    {"i4", at::kInt},    {"i8", at::kLong},  {"u1", at::kByte},         {"u2", at::kUInt16},        {"u4", at::kUInt32},
    {"u8", at::kUInt64}, {"b1", at::kBool},  {"c8", at::kComplexFloat}, {"c16", at::kComplexDouble}};

struct Header {
  std::string dtype;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads a header's text from its beginning.
class HeaderParser {
 public:
  explicit HeaderParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Header> Parse() {
    Header header;
    std::set<std::string> keys;
    if (!Take("{")) return Expected("'{'");
    while (!Take("}")) {
      QWT_ASSIGN_OR_RETURN(const std::string key, String());
      if (!keys.insert(key).second) return absl::DataLossError(absl::StrCat("the header has '", key, "' twice"));
      if (!Take(":")) return Expected("':'");
      QWT_RETURN_IF_ERROR(Value(key, &header));
      if (!Take(",") && !Next("}")) return Expected("',' or '}'");
    }
    SkipSpace();
    if (!text_.empty()) return Expected("nothing more");
    for (const char* key : {"descr", "fortran_order", "shape"}) {
      if (keys.count(key) == 0) return absl::DataLossError(absl::StrCat("the header has no '", key, "'"));
    }
    return header;
  }

 private:
  absl::Status Value(const std::string& key, Header* header) {
    if (key == "descr") {
      if (Next("[") || Next("(")) return absl::DataLossError("has a structured dtype; read are arrays of numbers");
      QWT_ASSIGN_OR_RETURN(header->dtype, String());
    } else if (key == "fortran_order") {
      header->fortran_order = Take("True");
      if (!header->fortran_order && !Take("False")) return Expected("True or False");
    } else if (key == "shape") {
      QWT_ASSIGN_OR_RETURN(header->shape, Shape());
    } else {
      return absl::DataLossError(
          absl::StrCat("the header has the key '", key, "'; there are 'descr', 'fortran_order' and 'shape'"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> String() {
    const char* quote = Take("'") ? "'" : Take("\"") ? "\"" : nullptr;
    if (quote == nullptr) return Expected("a string");
    const size_t end = text_.find(quote);
    const absl::string_view content = text_.substr(0, end);
    if (end == absl::string_view::npos || !std::all_of(content.begin(), content.end(), [](unsigned char c) {
          return absl::ascii_isprint(c) && c != '\\';
        })) {
      return Expected("plain text and its closing quote");
    }
    text_.remove_prefix(end + 1);
    return std::string(content);
  }

  absl::StatusOr<std::vector<int64_t>> Shape() {
    std::vector<int64_t> shape;
    if (!Take("(")) return Expected("'('");
    while (!Take(")")) {
      if (Next("-")) return Expected("a size that is not negative");
      const size_t digits = std::min(text_.find_first_not_of("0123456789"), text_.size());
      shape.emplace_back();
      if (!absl::SimpleAtoi(text_.substr(0, digits), &shape.back())) return Expected("a size of 64 bits");
      if (shape.size() > kMostDimensions) {
        return absl::DataLossError(absl::StrCat("has more than ", kMostDimensions, " dimensions"));
      }
      text_.remove_prefix(digits);
      Take("L");  // Python 2 wrote 3L
      // Without the comma (3) is a number in Python, no tuple.
      if (!Take(",") && (shape.size() == 1 || !Next(")"))) return Expected("','");
    }
    return shape;
  }

  void SkipSpace() { text_ = absl::StripLeadingAsciiWhitespace(text_); }
  bool Next(absl::string_view token) {
    SkipSpace();
    return absl::StartsWith(text_, token);
  }
  bool Take(absl::string_view token) {
    SkipSpace();
    return absl::ConsumePrefix(&text_, token);
  }
  absl::Status Expected(absl::string_view what) const {
    return absl::DataLossError(
        absl::StrCat("the header must have ", what, " where it has ", QuoteForMessage(text_.substr(0, 40))));
  }

  absl::string_view text_;
};

// The header's text; *begin is where the numbers are.
absl::StatusOr<absl::string_view> HeaderText(absl::string_view bytes, uint64_t* begin) {
  if (!absl::StartsWith(bytes, kMagic))
    return absl::DataLossError("is no .npy array: it does not begin with \\x93NUMPY");
  const int version = bytes.size() > kMagic.size() ? static_cast<unsigned char>(bytes[kMagic.size()]) : 1;
  if (version < 1 || version > 3) {
    return absl::DataLossError(absl::StrCat("has version ", version, " of the .npy format; read are 1, 2 and 3"));
  }
  const uint64_t at = kMagic.size() + 2, prefix = at + (version == 1 ? 2 : 4);
  if (bytes.size() < prefix) return absl::DataLossError("ends inside the header");
  const uint64_t length = version == 1 ? LittleEndian<uint16_t>(bytes, at) : LittleEndian<uint32_t>(bytes, at);
  if (length > bytes.size() - prefix) {
    return absl::DataLossError(
        absl::StrCat("has a header of ", length, " bytes, of which ", bytes.size() - prefix, " are there"));
  }
  *begin = prefix + length;
  return bytes.substr(prefix, length);
}

absl::StatusOr<at::ScalarType> ParseDtype(absl::string_view dtype, bool* big_endian) {
  absl::string_view name = dtype;
  *big_endian = absl::StartsWith(name, ">");
  if (!name.empty() && absl::string_view("<>=|").find(name[0]) != absl::string_view::npos) name.remove_prefix(1);
  for (const DtypeName& known : kDtypes) {
    if (name == known.name) return known.type;
  }
  if (absl::StartsWith(name, "O")) {
    return absl::DataLossError("has dtype object: Python objects, which are never unpickled");
  }
  return absl::DataLossError(absl::StrCat(
      "has dtype '", dtype, "'; read are ",
      absl::StrJoin(kDtypes, ", ", [](std::string* out, const DtypeName& d) { absl::StrAppend(out, d.name); })));
}

// Both parts of complex numbers are numbers of their own.
void SwapBytes(char* data, uint64_t bytes, uint64_t number_bytes) {
  for (char* number = data; number != data + bytes; number += number_bytes) std::reverse(number, number + number_bytes);
}

std::vector<int64_t> Strides(const std::vector<int64_t>& shape, bool fortran_order) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t axis = fortran_order ? i : shape.size() - 1 - i;
    strides[axis] = stride;
    stride *= std::max<int64_t>(shape[axis], 1);
  }
  return strides;
}

absl::StatusOr<at::Tensor> ReadArray(const ZipContent& content) {
  uint64_t begin = 0;
  QWT_ASSIGN_OR_RETURN(const absl::string_view text, HeaderText(content.bytes(), &begin));
  QWT_ASSIGN_OR_RETURN(const Header header, HeaderParser(text).Parse());
  bool big_endian = false;
  QWT_ASSIGN_OR_RETURN(const at::ScalarType type, ParseDtype(header.dtype, &big_endian));
  const std::vector<int64_t>& shape = header.shape;
  const std::optional<uint64_t> bytes = ByteSize(shape, type);
  const std::string described = absl::StrCat("shape (", absl::StrJoin(shape, ", "), ")");
  if (!bytes) return absl::DataLossError(absl::StrCat(described, " has more bytes than 64 bits can count"));
  if (*bytes != content.size - begin) {
    return absl::DataLossError(
        absl::StrCat(described, " of ", header.dtype, " needs ", *bytes, " bytes, there are ", content.size - begin));
  }

  char* data = content.data + begin;
  if (type == at::kBool && std::any_of(data, data + *bytes, [](char value) { return value != 0 && value != 1; })) {
    return absl::DataLossError("has a boolean that is neither 0 nor 1");
  }
  const std::vector<int64_t> strides = Strides(shape, header.fortran_order);
  const uint64_t number_bytes = c10::elementSize(c10::isComplexType(type) ? c10::toRealValueType(type) : type);
  const bool swap = big_endian && number_bytes > 1;
  if (*bytes > 0 && !swap) {
    return at::from_blob(
        data, shape, strides, [owner = content.owner](void*) {}, type);
  }
  at::Tensor copy = at::empty_strided(shape, strides, type);
  if (*bytes > 0) {
    std::memcpy(copy.mutable_data_ptr(), data, *bytes);
    SwapBytes(static_cast<char*>(copy.mutable_data_ptr()), *bytes, number_bytes);
  }
  return copy;
}

absl::Status ReadArrays(const ZipArchive& archive, const std::string& path, TensorMap* arrays) {
  for (const auto& [name, entry] : archive.entries()) {
    if (!absl::EndsWith(name, kSuffix)) continue;
    QWT_ASSIGN_OR_RETURN(const ZipContent content, archive.Read(name));
    absl::StatusOr<at::Tensor> array = ReadArray(content);
    if (!array.ok()) {
      return Annotate(array.status(), absl::StrCat(path, ": entry ", QuoteForMessage(name)));
    }
    (*arrays)[name.substr(0, name.size() - kSuffix.size())] = *std::move(array);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorMap> ReadNpz(const ZipArchive& archive, const std::string& path) {
  TensorMap arrays;
  QWT_RETURN_IF_ERROR(CatchExceptions(path, [&] { return ReadArrays(archive, path, &arrays); }));
  return arrays;
}

}  // namespace qwt
