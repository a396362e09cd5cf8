// The format before PyTorch 1.6, one after the other:
//
//   pickle   the magic number
//   pickle   the protocol version, 1001
//   pickle   a dictionary about the machine that wrote it
//   pickle   the object; its storages are persistent ids
//   pickle   the list of the storages' keys
//   for each key: int64 number of elements | the elements; all little-endian, not aligned
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "models/checkpoints/little_endian.h"
#include "models/checkpoints/pickle.h"
#include "models/checkpoints/pth.h"
#include "models/checkpoints/pth_pickle.h"
#include "models/checkpoints/pth_tensors.h"
#include "models/checkpoints/text.h"

namespace qwt {
namespace {

using Kind = PickleValue::Kind;

constexpr absl::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);  // 0x1950a86a20f9469cfc6c
constexpr int64_t kVersion = 1001;
constexpr char kFirstByte = '\x80';  // the opcode PROTO

absl::Status Damaged(const std::string& path, const std::string& what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

absl::Status CheckMagic(const PickleValue& magic, const std::string& path) {
  if (magic.kind == Kind::kLargeInteger && magic.text == kMagic) return absl::OkStatus();
  return Damaged(path, absl::StrCat("begins with a pickle of ", Describe(magic), ", not with PyTorch's magic number"));
}

absl::Status CheckVersion(const PickleValue& version, const std::string& path) {
  if (version.kind == Kind::kInteger && version.integer == kVersion) return absl::OkStatus();
  return Damaged(path, absl::StrCat("the protocol version is ", Describe(version), "; there is only ", kVersion));
}

// Where each storage's elements begin in the file.
absl::StatusOr<std::map<std::string, uint64_t>> LocateStorages(const Pickle& keys, const PthContent& content,
                                                               absl::string_view bytes, uint64_t position,
                                                               const std::string& path) {
  if (keys[keys.root].kind != Kind::kList) {
    return Damaged(path, absl::StrCat("the list of storage keys is ", Describe(keys[keys.root])));
  }
  std::map<std::string, uint64_t> located;
  for (uint32_t index : keys[keys.root].items) {
    if (keys[index].kind != Kind::kString) {
      return Damaged(path, absl::StrCat("the list of storage keys has ", Describe(keys[index])));
    }
    const std::string what = absl::StrCat("storage ", QuoteForMessage(keys[index].text));
    const auto known = content.storages.find(std::string(keys[index].text));
    if (known == content.storages.end()) {
      return Damaged(path, absl::StrCat("the list of storage keys has ", QuoteForMessage(keys[index].text),
                                        ", which nothing refers to"));
    }
    const PthStorage& storage = known->second;
    if (bytes.size() - position < sizeof(int64_t)) {
      return Damaged(path, absl::StrCat(what, ": the file ends at byte ", bytes.size(), " before it"));
    }
    const auto elements = static_cast<int64_t>(LittleEndian<uint64_t>(bytes, position));
    position += sizeof(int64_t);
    if (elements < 0 || static_cast<uint64_t>(elements) != storage.elements) {
      return Damaged(path, absl::StrCat(what, " says ", elements, " elements at byte ", position - sizeof(int64_t),
                                        ", its persistent id ", storage.elements));
    }
    if (storage.bytes() > bytes.size() - position) {
      return Damaged(path, absl::StrCat(what, " needs ", storage.bytes(), " bytes at ", position, ", the file has ",
                                        bytes.size() - position, " left: it is cut short"));
    }
    if (!located.try_emplace(known->first, position).second) {
      return Damaged(path, absl::StrCat(what, " is twice in the list of storage keys"));
    }
    position += storage.bytes();
  }
  return located;
}

absl::StatusOr<TensorMap> Read(const std::shared_ptr<MappedFile>& file, const std::string& path) {
  const absl::string_view bytes = file->bytes();
  if (bytes.empty() || bytes[0] != kFirstByte) {
    return Damaged(path, "does not begin with a pickle: it is not a checkpoint of PyTorch");
  }
  uint64_t position = 0;
  auto next = [&]() -> absl::StatusOr<Pickle> {
    absl::StatusOr<Pickle> pickle = ParsePickle(bytes.substr(position), PthGlobals(), position);
    if (!pickle.ok()) return Annotate(pickle.status(), path);
    position += pickle->bytes;
    return pickle;
  };
  QWT_ASSIGN_OR_RETURN(const Pickle magic, next());
  QWT_RETURN_IF_ERROR(CheckMagic(magic[magic.root], path));
  QWT_ASSIGN_OR_RETURN(const Pickle version, next());
  QWT_RETURN_IF_ERROR(CheckVersion(version[version.root], path));
  QWT_RETURN_IF_ERROR(next().status());  // about the machine: the numbers are little-endian whatever it says
  QWT_ASSIGN_OR_RETURN(const Pickle object, next());
  QWT_ASSIGN_OR_RETURN(const Pickle keys, next());
  QWT_ASSIGN_OR_RETURN(const PthContent content, ReadPthContent(object, /*legacy=*/true, path));
  QWT_ASSIGN_OR_RETURN(const auto located, LocateStorages(keys, content, bytes, position, path));
  return MakePthTensors(
      content, /*swap_bytes=*/false, [&](const std::string& key, const PthStorage&) -> absl::StatusOr<PthStorageData> {
        const auto place = located.find(key);
        if (place != located.end()) return PthStorageData{file, file->data() + place->second};
        return Damaged(path, absl::StrCat("storage ", QuoteForMessage(key), " is not in the list of storage keys"));
      });
}

}  // namespace

absl::StatusOr<TensorMap> ReadLegacyPth(const std::shared_ptr<MappedFile>& file, const std::string& path) {
  try {
    return Read(file, path);
  } catch (...) {
    return StatusFromCurrentException(path);
  }
}

}  // namespace qwt
