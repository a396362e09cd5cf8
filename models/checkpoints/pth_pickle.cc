#include "models/checkpoints/pth_pickle.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/tensor/byte_size.h"
#include "models/checkpoints/text.h"

namespace qwt {
namespace {

using Kind = PickleValue::Kind;

constexpr absl::string_view kRebuildTensor = "torch._utils._rebuild_tensor";
constexpr absl::string_view kRebuildTensorV2 = "torch._utils._rebuild_tensor_v2";
constexpr absl::string_view kRebuildParameter = "torch._utils._rebuild_parameter";

constexpr PickleGlobal kFunctions[] = {
    {"collections.OrderedDict", PickleGlobal::kDict},
    {"argparse.Namespace", PickleGlobal::kObject},  // training arguments beside the state
    {"torch.Size", PickleGlobal::kArgument},
    {kRebuildTensor, PickleGlobal::kTensor},
    {kRebuildTensorV2, PickleGlobal::kTensor},
    {kRebuildParameter, PickleGlobal::kTensor},
};

struct StorageType {
  absl::string_view name;
  at::ScalarType dtype;
};
constexpr StorageType kStorageTypes[] = {
    {"torch.DoubleStorage", at::kDouble},     {"torch.FloatStorage", at::kFloat}, {"torch.HalfStorage", at::kHalf},
    {"torch.BFloat16Storage", at::kBFloat16}, {"torch.LongStorage", at::kLong},   {"torch.IntStorage", at::kInt},
    {"torch.ShortStorage", at::kShort},       {"torch.CharStorage", at::kChar},   {"torch.ByteStorage", at::kByte},
    {"torch.BoolStorage", at::kBool},
};

constexpr absl::string_view kStateKeys[] = {"state_dict", "model"};
constexpr int kDeepestState = 16;
constexpr size_t kMostDimensions = 64;
constexpr size_t kMostTensors = 20'000;
constexpr size_t kLongestName = 1000;  // bytes; a pickle can use one long text very often
// Strides of 0 make large tensors of small storages. What stands in a file for real repeats a bias or a scale.
constexpr uint64_t kMostRepeatedBytes = uint64_t{16} << 20;  // in all tensors of a file

// A persistent id: a storage, or a part of one as very old files have it.
struct Reference {
  std::string key;
  PthStorage storage;
  uint64_t first = 0, elements = 0;  // the part, in elements
};

class Reader {
 public:
  Reader(const Pickle& pickle, bool legacy, const std::string& path)
      : pickle_(pickle), id_items_(legacy ? 6 : 5), path_(path) {}

  absl::StatusOr<PthContent> Read();

 private:
  absl::Status Damaged(absl::string_view what) const { return absl::DataLossError(absl::StrCat(path_, ": ", what)); }
  absl::StatusOr<uint64_t> Count(uint32_t index, absl::string_view what) const;
  absl::StatusOr<std::string> Name(uint32_t index, absl::string_view what) const;

  absl::StatusOr<Reference> ReadReference(uint32_t index, absl::string_view what) const;
  absl::Status ReadPart(uint32_t index, Reference* reference) const;
  absl::Status ReadStorages();

  std::optional<uint32_t> InnerDict(const PickleValue& dict, absl::string_view key) const;
  absl::StatusOr<uint32_t> FindState() const;
  absl::StatusOr<std::map<std::string, uint32_t>> Names(uint32_t state) const;

  absl::StatusOr<const PickleValue*> Arguments(uint32_t index, const std::string& name) const;
  absl::StatusOr<std::vector<int64_t>> Counts(uint32_t index, const std::string& what) const;
  absl::StatusOr<PthTensor> ReadTensor(uint32_t index, const std::string& name);
  absl::Status CheckLayout(const Reference& reference, const std::string& name, PthTensor* tensor);

  const Pickle& pickle_;
  const uint64_t id_items_;  // of a persistent id
  const std::string& path_;
  PthContent content_;
  uint64_t repeated_bytes_ = 0;
};

bool IsCount(const PickleValue& value) { return value.kind == Kind::kInteger && value.integer >= 0; }

absl::StatusOr<uint64_t> Reader::Count(uint32_t index, absl::string_view what) const {
  const PickleValue& value = pickle_[index];
  if (IsCount(value)) return value.integer;
  return Damaged(absl::StrCat(what, " is ", Describe(value), ", must be an integer from 0 to 2^63 - 1"));
}

absl::StatusOr<std::string> Reader::Name(uint32_t index, absl::string_view what) const {
  const PickleValue& value = pickle_[index];
  if (value.kind != Kind::kString) return Damaged(absl::StrCat(what, " is ", Describe(value), ", not a string"));
  if (value.text.size() <= kLongestName) return std::string(value.text);
  return Damaged(absl::StrCat(what, " is a string of ", value.text.size(), " bytes, more than ", kLongestName));
}

// ("storage", type, key, location, elements[, None or (view key, first, elements)])
absl::StatusOr<Reference> Reader::ReadReference(uint32_t index, absl::string_view what) const {
  const PickleValue& id = pickle_[pickle_[index].items[0]];
  if (id.kind != Kind::kTuple || id.items.size() != id_items_) {
    return Damaged(absl::StrCat(
        what, " is ", Describe(id), id.kind == Kind::kTuple ? absl::StrCat(" of ", id.items.size(), " items") : "",
        ", must be (\"storage\", type, key, location, elements", id_items_ == 6 ? ", view" : "", ")"));
  }
  const PickleValue& kind = pickle_[id.items[0]];
  if (kind.kind != Kind::kString || kind.text != "storage") {
    return Damaged(absl::StrCat(what, " is of the kind ",
                                kind.kind == Kind::kString ? QuoteForMessage(kind.text) : Describe(kind),
                                "; there is only 'storage'"));
  }
  const PickleValue& type = pickle_[id.items[1]];
  const auto found = std::find_if(
      std::begin(kStorageTypes), std::end(kStorageTypes),
      [&](const StorageType& candidate) { return type.kind == Kind::kGlobal && candidate.name == type.text; });
  if (found == std::end(kStorageTypes)) {
    return Damaged(
        absl::StrCat(what, ": its type is ", Describe(type), ", not a storage type such as torch.FloatStorage"));
  }
  Reference reference;
  QWT_ASSIGN_OR_RETURN(reference.key, Name(id.items[2], absl::StrCat(what, ": its key")));
  reference.storage.dtype = found->dtype;
  QWT_ASSIGN_OR_RETURN(
      reference.storage.elements,
      Count(id.items[4], absl::StrCat("storage ", QuoteForMessage(reference.key), ": its number of elements")));
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(reference.storage.elements, c10::elementSize(found->dtype), &bytes)) {
    return Damaged(absl::StrCat("storage ", QuoteForMessage(reference.key), ": ", reference.storage.elements,
                                " elements of ", c10::elementSize(found->dtype),
                                " bytes are more than 64 bits can count"));
  }
  reference.elements = reference.storage.elements;
  if (id.items.size() == 6) QWT_RETURN_IF_ERROR(ReadPart(id.items[5], &reference));
  return reference;
}

absl::Status Reader::ReadPart(uint32_t index, Reference* reference) const {
  const PickleValue& part = pickle_[index];
  if (part.kind == Kind::kNone) return absl::OkStatus();
  const std::string what = absl::StrCat("the view of storage ", QuoteForMessage(reference->key));
  if (part.kind != Kind::kTuple || part.items.size() != 3) {
    return Damaged(absl::StrCat(what, " is ", Describe(part), ", not (key, first, elements)"));
  }
  QWT_ASSIGN_OR_RETURN(reference->first, Count(part.items[1], absl::StrCat(what, ": its first element")));
  QWT_ASSIGN_OR_RETURN(reference->elements, Count(part.items[2], absl::StrCat(what, ": its number of elements")));
  const uint64_t all = reference->storage.elements;
  if (reference->first <= all && reference->elements <= all - reference->first) return absl::OkStatus();
  return Damaged(absl::StrCat(what, ": ", reference->elements, " elements from ", reference->first,
                              " on do not lie in its ", all));
}

absl::Status Reader::ReadStorages() {
  for (uint32_t i = 0; i < pickle_.values.size(); ++i) {
    if (pickle_[i].kind != Kind::kPersistentId) continue;
    QWT_ASSIGN_OR_RETURN(const Reference reference, ReadReference(i, "a persistent id"));
    const auto [place, is_new] = content_.storages.try_emplace(reference.key, reference.storage);
    const PthStorage &before = place->second, &now = reference.storage;
    if (!is_new && (before.dtype != now.dtype || before.elements != now.elements)) {
      return Damaged(absl::StrCat("storage ", QuoteForMessage(reference.key), " has ", before.elements, " elements of ",
                                  c10::toString(before.dtype), " in one place and ", now.elements, " of ",
                                  c10::toString(now.dtype), " in another"));
    }
  }
  return absl::OkStatus();
}

// The dictionary that Python finds under `key`: the last value that was assigned. nullopt where there is none.
std::optional<uint32_t> Reader::InnerDict(const PickleValue& dict, absl::string_view key) const {
  for (size_t i = dict.items.size(); i >= 2; i -= 2) {
    const PickleValue& candidate = pickle_[dict.items[i - 2]];
    if (candidate.kind != Kind::kString || candidate.text != key) continue;
    const uint32_t value = dict.items[i - 1];
    return pickle_[value].kind == Kind::kDict ? std::make_optional(value) : std::nullopt;
  }
  return std::nullopt;
}

absl::StatusOr<uint32_t> Reader::FindState() const {
  uint32_t state = pickle_.root;
  if (pickle_[state].kind != Kind::kDict) {
    return Damaged(absl::StrCat("the pickled object is ", Describe(pickle_[state]), ", not a dictionary of tensors"));
  }
  for (int depth = 0; depth < kDeepestState; ++depth) {
    std::optional<uint32_t> inner;
    for (absl::string_view key : kStateKeys) {
      if (!inner.has_value()) inner = InnerDict(pickle_[state], key);
    }
    if (!inner.has_value()) return state;
    state = *inner;
  }
  return Damaged(absl::StrCat("dictionaries under \"", absl::StrJoin(kStateKeys, "\" or \""),
                              "\" are nested more than ", kDeepestState, " deep, or one contains itself"));
}

absl::StatusOr<std::map<std::string, uint32_t>> Reader::Names(uint32_t state) const {
  const PickleValue& dict = pickle_[state];
  std::map<std::string, uint32_t> names;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    QWT_ASSIGN_OR_RETURN(std::string name, Name(dict.items[i], "a name in the state"));
    names[std::move(name)] = dict.items[i + 1];
  }
  if (names.empty()) return Damaged("holds no tensors: the state is an empty dictionary");
  if (names.size() > kMostTensors) {
    return Damaged(absl::StrCat("the state has ", names.size(), " entries, more than ", kMostTensors));
  }
  return names;
}

// What the function that makes the tensor is called with; parameters are looked through.
absl::StatusOr<const PickleValue*> Reader::Arguments(uint32_t index, const std::string& name) const {
  auto function = [&](uint32_t value) {
    return pickle_[value].kind == Kind::kObject ? pickle_[pickle_[value].items[0]].text : absl::string_view();
  };
  if (function(index) == kRebuildParameter) {
    const PickleValue& arguments = pickle_[pickle_[index].items[1]];
    if (arguments.items.empty()) return Damaged(absl::StrCat(name, ": ", kRebuildParameter, " without arguments"));
    index = arguments.items[0];
  }
  const absl::string_view maker = function(index);
  if (maker != kRebuildTensor && maker != kRebuildTensorV2) {
    return Damaged(absl::StrCat(name, " is ", Describe(pickle_[index]),
                                ", not a tensor; the state is what stands under \"",
                                absl::StrJoin(kStateKeys, "\" or \""), "\", else the whole object"));
  }
  const PickleValue& arguments = pickle_[pickle_[index].items[1]];
  const size_t given = arguments.items.size();
  const bool right = maker == kRebuildTensor ? given == 4 : given == 6 || given == 7;
  if (right) return &arguments;
  return Damaged(absl::StrCat(name, ": ", maker, " has ", given, " arguments, must have ",
                              maker == kRebuildTensor ? "4" : "6 or 7"));
}

absl::StatusOr<std::vector<int64_t>> Reader::Counts(uint32_t index, const std::string& what) const {
  const PickleValue& list = pickle_[index];
  if (list.kind != Kind::kTuple && list.kind != Kind::kList) {
    return Damaged(absl::StrCat(what, " is ", Describe(list), ", not a tuple"));
  }
  if (list.items.size() > kMostDimensions) {
    return Damaged(absl::StrCat(what, " has ", list.items.size(), " dimensions, more than ", kMostDimensions));
  }
  std::vector<int64_t> counts;
  for (uint32_t item : list.items) {
    if (!IsCount(pickle_[item])) return Count(item, absl::StrCat(what, ": dimension ", counts.size())).status();
    counts.push_back(pickle_[item].integer);
  }
  return counts;
}

// The place of the last element of a tensor that is not empty; nothing where 64 bits do not hold it.
std::optional<uint64_t> LastElement(const PthTensor& tensor) {
  int64_t last = tensor.offset;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    int64_t step = 0;
    if (__builtin_mul_overflow(tensor.sizes[i] - 1, tensor.strides[i], &step)) return std::nullopt;
    if (__builtin_add_overflow(last, step, &last)) return std::nullopt;
  }
  return last;
}

std::string LayoutText(const PthTensor& tensor) {
  return absl::StrCat("shape [", absl::StrJoin(tensor.sizes, ", "), "] with strides [",
                      absl::StrJoin(tensor.strides, ", "), "] at offset ", tensor.offset);
}

// Sets the number of elements, and the offset, read as that in the part which the reference names, to that in the
// storage.
absl::Status Reader::CheckLayout(const Reference& reference, const std::string& name, PthTensor* tensor) {
  const std::optional<uint64_t> bytes = ByteSize(tensor->sizes, reference.storage.dtype);
  if (bytes.has_value() && *bytes == 0) {
    tensor->elements = tensor->offset = 0;
    return absl::OkStatus();
  }
  const std::optional<uint64_t> last = LastElement(*tensor);
  if (!bytes.has_value() || !last.has_value()) {
    return Damaged(absl::StrCat(name, ": ", LayoutText(*tensor), " reaches further than 64 bits can count"));
  }
  if (*last >= reference.elements) {
    return Damaged(absl::StrCat(name, ": ", LayoutText(*tensor), " has its last element at ", *last, " of storage ",
                                QuoteForMessage(reference.key), ", which has ", reference.elements));
  }
  const uint64_t repeated = *bytes - std::min(*bytes, reference.storage.bytes());
  if (repeated > kMostRepeatedBytes - repeated_bytes_) {
    return Damaged(absl::StrCat(name, ": ", LayoutText(*tensor), " makes ", *bytes, " bytes of the ",
                                reference.storage.bytes(), " of storage ", QuoteForMessage(reference.key),
                                "; strides may repeat no more than ", kMostRepeatedBytes, " bytes in a file"));
  }
  repeated_bytes_ += repeated;
  tensor->elements = *bytes / c10::elementSize(reference.storage.dtype);
  tensor->offset += reference.first;
  return absl::OkStatus();
}

absl::StatusOr<PthTensor> Reader::ReadTensor(uint32_t index, const std::string& name) {
  QWT_ASSIGN_OR_RETURN(const PickleValue* arguments, Arguments(index, name));  // storage, offset, sizes, strides, ...
  const PickleValue& storage = pickle_[arguments->items[0]];
  if (storage.kind != Kind::kPersistentId) {
    return Damaged(absl::StrCat(name, ": its storage is ", Describe(storage), ", not a persistent id"));
  }
  QWT_ASSIGN_OR_RETURN(const Reference reference, ReadReference(arguments->items[0], name));
  PthTensor tensor;
  tensor.storage = reference.key;
  QWT_ASSIGN_OR_RETURN(const uint64_t offset, Count(arguments->items[1], absl::StrCat(name, ": its offset")));
  tensor.offset = static_cast<int64_t>(offset);
  QWT_ASSIGN_OR_RETURN(tensor.sizes, Counts(arguments->items[2], absl::StrCat(name, ": its shape")));
  QWT_ASSIGN_OR_RETURN(tensor.strides, Counts(arguments->items[3], absl::StrCat(name, ": its strides")));
  if (tensor.sizes.size() != tensor.strides.size()) {
    return Damaged(absl::StrCat(name, " has ", tensor.sizes.size(), " sizes and ", tensor.strides.size(), " strides"));
  }
  QWT_RETURN_IF_ERROR(CheckLayout(reference, name, &tensor));
  return tensor;
}

absl::StatusOr<PthContent> Reader::Read() {
  QWT_RETURN_IF_ERROR(ReadStorages());
  QWT_ASSIGN_OR_RETURN(const uint32_t state, FindState());
  QWT_ASSIGN_OR_RETURN(const auto names, Names(state));
  for (const auto& [name, index] : names) {
    QWT_ASSIGN_OR_RETURN(content_.tensors[name], ReadTensor(index, QuoteForMessage(name)));
  }
  return std::move(content_);
}

}  // namespace

absl::Span<const PickleGlobal> PthGlobals() {
  static const auto* globals = [] {
    auto* all = new std::vector<PickleGlobal>(std::begin(kFunctions), std::end(kFunctions));
    for (const StorageType& type : kStorageTypes) all->push_back({type.name, PickleGlobal::kNothing});
    return all;
  }();
  return *globals;
}

absl::StatusOr<PthContent> ReadPthContent(const Pickle& pickle, bool legacy, const std::string& path) {
  return Reader(pickle, legacy, path).Read();
}

}  // namespace qwt
