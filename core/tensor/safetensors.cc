#include "core/tensor/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/from_blob.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/files.h"
#include "core/base/status.h"
#include "core/tensor/byte_size.h"
#include "nlohmann/json.hpp"

namespace qwt {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kLargestHeader = 100'000'000;  // the limit of the reference implementation
constexpr int kDeepestNesting = 4;                // header, tensor, shape; a bit of room for fields we do not know
constexpr char kMetadata[] = "__metadata__";

struct DtypeName {
  const char* name;
  at::ScalarType type;
};
constexpr DtypeName kDtypes[] = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}, {"I64", at::kLong},
    {"I32", at::kInt},    {"I16", at::kShort}, {"I8", at::kChar},  {"U8", at::kByte},       {"BOOL", at::kBool}};

std::string DtypeNames() {
  return absl::StrJoin(kDtypes, ", ",
                       [](std::string* out, const DtypeName& dtype) { absl::StrAppend(out, dtype.name); });
}

struct Entry {
  std::string name;
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t begin, end;  // bytes from the start of the data
};

absl::Status Damaged(const std::string& path, const std::string& what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

// Looks at the header's JSON before it is built: nlohmann's parser keeps the last of two equal keys, and its callback,
// which sees both, takes time that grows with the square of their number.
class HeaderChecker : public nlohmann::json_sax<Json> {
 public:
  const std::string& problem() const { return problem_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return Open(); }
  bool start_array(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    return Fail(absl::StrCat("the header has the key '", name, "' twice"));
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    return Fail(absl::StrCat("the header is not valid: ", std::string(error.what()).substr(0, 200)));
  }

 private:
  bool Open() {
    keys_.emplace_back();
    if (keys_.size() <= kDeepestNesting) return true;
    return Fail(absl::StrCat("the header is not valid: nested deeper than ", kDeepestNesting, " levels"));
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }
  bool Fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  std::vector<std::set<std::string>> keys_;  // of the objects that are open; none of an array
  std::string problem_;
};

absl::StatusOr<Json> ParseHeader(const std::string& path, absl::string_view text) {
  if (text[0] != '{') return Damaged(path, "the header does not begin with '{'");
  HeaderChecker checker;
  if (!Json::sax_parse(text.begin(), text.end(), &checker)) return Damaged(path, checker.problem());
  return Json::parse(text.begin(), text.end());
}

// Checks one tensor's fields against each other and against the length of the data.
absl::StatusOr<Entry> ParseEntry(const std::string& where, const std::string& name, const Json& fields,
                                 uint64_t data_bytes) {
  if (!fields.is_object()) return Damaged(where, "is not described by a JSON object");
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (!fields.contains(field)) return Damaged(where, absl::StrCat("has no '", field, "'"));
  }
  Entry entry;
  entry.name = name;
  const Json& dtype = fields["dtype"];
  auto found =
      std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const DtypeName& d) { return dtype == d.name; });
  if (found == std::end(kDtypes)) {
    return Damaged(where, absl::StrCat("unknown dtype ", dtype.dump().substr(0, 40), "; there are ", DtypeNames()));
  }
  entry.type = found->type;

  const Json& shape = fields["shape"];
  const std::string bad_shape = absl::StrCat("shape ", shape.dump().substr(0, 80), " is not a list of sizes");
  if (!shape.is_array()) return Damaged(where, bad_shape);
  for (const Json& size : shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > INT64_MAX) return Damaged(where, bad_shape);
    entry.shape.push_back(size.get<int64_t>());
  }

  const Json& offsets = fields["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned() || offsets[0] > offsets[1]) {
    return Damaged(
        where, absl::StrCat("data_offsets ", offsets.dump().substr(0, 80), " are not [begin, end] with begin <= end"));
  }
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  const std::string range = absl::StrCat("data [", entry.begin, ", ", entry.end, ")");
  if (entry.end > data_bytes) {
    return Damaged(where, absl::StrCat(range, " ends past the file's ", data_bytes, " bytes of data"));
  }
  const std::optional<uint64_t> bytes = ByteSize(entry.shape, entry.type);
  if (!bytes) {
    return Damaged(where, absl::StrCat("shape ", shape.dump().substr(0, 80), " has more bytes than 64 bits can count"));
  }
  if (*bytes != entry.end - entry.begin) {
    return Damaged(where, absl::StrCat(range, " holds ", entry.end - entry.begin, " bytes, ", found->name, " ",
                                       shape.dump().substr(0, 80), " needs ", *bytes));
  }
  return entry;
}

absl::Status ParseMetadata(const std::string& path, const Json& fields, std::map<std::string, std::string>* metadata) {
  if (!fields.is_object()) return Damaged(path, "__metadata__ is not a JSON object");
  for (const auto& [key, value] : fields.items()) {
    if (!value.is_string())
      return Damaged(path, absl::StrCat("__metadata__: the value of '", key, "' is not a string"));
    (*metadata)[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

// Every byte of the data belongs to one tensor.
absl::Status CheckCover(const std::string& path, std::vector<Entry>& entries, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    const std::string where = absl::StrCat(path, ": tensor '", entry.name, "'");
    const std::string range = absl::StrCat("data [", entry.begin, ", ", entry.end, ")");
    if (entry.begin < covered)
      return Damaged(where, absl::StrCat(range, " overlaps another tensor's, which ends at ", covered));
    if (entry.begin > covered) return Damaged(where, absl::StrCat(range, " leaves a hole from ", covered));
    covered = entry.end;
  }
  if (covered == data_bytes) return absl::OkStatus();
  return Damaged(path, absl::StrCat(data_bytes - covered, " bytes after the last tensor belong to none"));
}

at::Tensor View(const std::shared_ptr<MappedFile>& mapping, uint64_t data_start, const Entry& entry) {
  if (entry.begin == entry.end) return at::empty(entry.shape, entry.type);
  char* data = mapping->data() + data_start + entry.begin;
  const uint64_t alignment = c10::elementSize(entry.type);
  if (reinterpret_cast<uintptr_t>(data) % alignment == 0) {
    return at::from_blob(
        data, entry.shape, [mapping](void*) {}, entry.type);
  }
  at::Tensor copy = at::empty(entry.shape, entry.type);
  std::memcpy(copy.mutable_data_ptr(), data, entry.end - entry.begin);
  return copy;
}

absl::StatusOr<TensorFile> Parse(const std::shared_ptr<MappedFile>& mapping, const std::string& path) {
  if (mapping->size() < kLengthBytes) {
    return Damaged(path, absl::StrCat("has ", mapping->size(), " bytes, too few for a safetensors file"));
  }
  uint64_t header_bytes = 0;
  for (int i = kLengthBytes - 1; i >= 0; --i) {
    header_bytes = header_bytes << 8 | static_cast<unsigned char>(mapping->data()[i]);
  }
  if (header_bytes == 0 || header_bytes > mapping->size() - kLengthBytes || header_bytes > kLargestHeader) {
    return Damaged(path, absl::StrCat("header length ", header_bytes, " is not between 1 and ",
                                      std::min(mapping->size() - kLengthBytes, kLargestHeader)));
  }
  QWT_ASSIGN_OR_RETURN(Json header, ParseHeader(path, {mapping->data() + kLengthBytes, header_bytes}));

  const uint64_t data_start = kLengthBytes + header_bytes;
  const uint64_t data_bytes = mapping->size() - data_start;
  TensorFile file;
  std::vector<Entry> entries;
  for (const auto& [name, fields] : header.items()) {
    if (name == kMetadata) {
      QWT_RETURN_IF_ERROR(ParseMetadata(path, fields, &file.metadata));
      continue;
    }
    QWT_ASSIGN_OR_RETURN(Entry entry,
                         ParseEntry(absl::StrCat(path, ": tensor '", name, "'"), name, fields, data_bytes));
    entries.push_back(std::move(entry));
  }
  QWT_RETURN_IF_ERROR(CheckCover(path, entries, data_bytes));
  for (const Entry& entry : entries) file.tensors[entry.name] = View(mapping, data_start, entry);
  return file;
}

// Widest items first: with a header of a multiple of 8 bytes every tensor is aligned for its dtype.
std::vector<const TensorMap::value_type*> DataOrder(const TensorMap& tensors) {
  std::vector<const TensorMap::value_type*> order;
  for (const auto& named : tensors) order.push_back(&named);
  std::stable_sort(order.begin(), order.end(),
                   [](auto* a, auto* b) { return a->second.element_size() > b->second.element_size(); });
  return order;
}

absl::Status CheckWritable(const std::string& path, const std::string& name, const at::Tensor& tensor) {
  std::string problem;
  if (name == kMetadata) {
    problem = "this name is reserved by the format";
  } else if (!tensor.defined()) {
    problem = "is undefined";
  } else if (!tensor.device().is_cpu()) {
    problem = absl::StrCat("is on ", tensor.device().str(), ", must be on the CPU");
  } else if (tensor.layout() != at::kStrided || !tensor.is_contiguous()) {
    problem = "is not contiguous";
  } else if (std::none_of(std::begin(kDtypes), std::end(kDtypes),
                          [&](const DtypeName& d) { return d.type == tensor.scalar_type(); })) {
    problem = absl::StrCat("has dtype ", c10::toString(tensor.scalar_type()), "; can be written: ", DtypeNames());
  }
  if (problem.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ": tensor '", name, "': ", problem));
}

absl::Status Write(const std::string& path, const TensorFile& file) {
  for (const auto& [name, tensor] : file.tensors) QWT_RETURN_IF_ERROR(CheckWritable(path, name, tensor));
  Json header = Json::object();
  if (!file.metadata.empty()) header[kMetadata] = file.metadata;
  std::vector<absl::string_view> pieces(2);  // length and header: filled in when the header is complete
  uint64_t end = 0;
  for (const auto* named : DataOrder(file.tensors)) {
    const at::Tensor& tensor = named->second;
    const uint64_t begin = end;
    end += tensor.nbytes();
    auto dtype = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                              [&](const DtypeName& d) { return d.type == tensor.scalar_type(); });
    header[named->first] = {{"dtype", dtype->name}, {"shape", tensor.sizes().vec()}, {"data_offsets", {begin, end}}};
    pieces.emplace_back(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kLargestHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a header of ", text.size(), " bytes exceeds the format's ", kLargestHeader));
  }
  char length[kLengthBytes];
  for (uint64_t i = 0; i < kLengthBytes; ++i) length[i] = static_cast<char>(text.size() >> (8 * i));
  pieces[0] = {length, kLengthBytes};
  pieces[1] = text;
  return WriteFileAtomically(path, pieces);
}

}  // namespace

absl::StatusOr<TensorFile> ReadSafetensors(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const std::shared_ptr<MappedFile> file, MappedFile::Open(path));
  return ParseSafetensors(file, path);
}

absl::StatusOr<TensorFile> ParseSafetensors(const std::shared_ptr<MappedFile>& file, const std::string& path) {
  try {
    return Parse(file, path);
  } catch (...) {
    return StatusFromCurrentException(path);
  }
}

absl::Status WriteSafetensors(const std::string& path, const TensorFile& file) {
  return CatchExceptions(path, [&] { return Write(path, file); });
}

}  // namespace qwt
