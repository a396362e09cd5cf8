#include "models/checkpoints/pickle_machine.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "models/checkpoints/text.h"

namespace qwt {

using Kind = PickleValue::Kind;

constexpr uint64_t kMostSteps = 1'000'000;  // a large checkpoint's pickle takes some 100,000
constexpr int kNewestProtocol = 5;
constexpr size_t kLongestName = 100;

absl::StatusOr<Pickle> PickleMachine::Run() {
  while (!stopped_) {
    opcode_at_ = next_;
    if (next_ == bytes_.size()) return Fail(next_ == 0 ? "is empty" : "ends without STOP: it is cut short");
    const unsigned char byte = bytes_[next_++];
    const PickleOpcode* opcode = FindPickleOpcode(byte);
    if (opcode == nullptr) return Fail(absl::StrCat("has the unknown opcode 0x", absl::Hex(byte, absl::kZeroPad2)));
    opcode_ = opcode->name;
    if (opcode->run == nullptr) {
      return Fail(absl::StrCat("has the opcode ", opcode_, " (0x", absl::Hex(byte, absl::kZeroPad2),
                               "), which tensors and containers do not need"));
    }
    QWT_RETURN_IF_ERROR(Spend(1));
    QWT_RETURN_IF_ERROR((this->*opcode->run)(opcode->argument));
  }
  pickle_.bytes = next_;
  return std::move(pickle_);
}

absl::Status PickleMachine::Fail(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat("the pickle at byte ", position_ + opcode_at_, " ", what));
}

absl::Status PickleMachine::Spend(uint64_t steps) {
  if (steps <= kMostSteps - steps_) {
    steps_ += steps;
    return absl::OkStatus();
  }
  return Fail(absl::StrCat("needs more than ", kMostSteps,
                           " steps; a checkpoint's pickle describes tensors in less: save the state_dict() alone"));
}

absl::StatusOr<absl::string_view> PickleMachine::Take(uint64_t bytes) {
  const uint64_t left = bytes_.size() - next_;
  if (bytes > left) return Fail(absl::StrCat("(", opcode_, ") says ", bytes, " bytes where ", left, " are left"));
  next_ += bytes;
  return bytes_.substr(next_ - bytes, bytes);
}

absl::StatusOr<absl::string_view> PickleMachine::TakeCounted(int length_bytes) {
  QWT_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber(length_bytes));
  return Take(length);
}

absl::StatusOr<uint64_t> PickleMachine::TakeNumber(int bytes) {
  QWT_ASSIGN_OR_RETURN(const absl::string_view raw, Take(bytes));
  uint64_t number = 0;
  for (int i = bytes - 1; i >= 0; --i) number = number << 8 | static_cast<unsigned char>(raw[i]);
  return number;
}

absl::StatusOr<absl::string_view> PickleMachine::TakeLine() {
  const size_t end = bytes_.find('\n', next_);
  if (end == absl::string_view::npos) return Fail(absl::StrCat("(", opcode_, ") has a line without an end"));
  const absl::string_view line = bytes_.substr(next_, end - next_);
  next_ = end + 1;
  return line;
}

absl::Status PickleMachine::Push(PickleValue value) {
  stack_.push_back(pickle_.values.size());
  pickle_.values.push_back(std::move(value));
  return absl::OkStatus();
}

absl::Status PickleMachine::PushText(Kind kind, absl::string_view text) {
  PickleValue value;
  value.kind = kind;
  value.text = text;
  return Push(std::move(value));
}

absl::StatusOr<uint32_t> PickleMachine::Pop() {
  if (stack_.size() == (marks_.empty() ? 0 : marks_.back())) {
    return Fail(absl::StrCat("(", opcode_, ") takes a value from an empty stack"));
  }
  const uint32_t index = stack_.back();
  stack_.pop_back();
  return index;
}

absl::StatusOr<std::vector<uint32_t>> PickleMachine::PopToMark() {
  if (marks_.empty()) return Fail(absl::StrCat("(", opcode_, ") has no MARK"));
  std::vector<uint32_t> items(stack_.begin() + marks_.back(), stack_.end());
  stack_.resize(marks_.back());
  marks_.pop_back();
  return items;
}

absl::StatusOr<PickleValue*> PickleMachine::Top(Kind kind, absl::string_view what) {
  QWT_ASSIGN_OR_RETURN(const uint32_t index, Pop());
  stack_.push_back(index);
  PickleValue* value = &pickle_.values[index];
  if (value->kind != kind) return Fail(absl::StrCat("(", opcode_, ") wants ", what, ", has ", Describe(*value)));
  return value;
}

absl::Status PickleMachine::Protocol(int) {
  QWT_ASSIGN_OR_RETURN(const uint64_t protocol, TakeNumber(1));
  if (protocol <= kNewestProtocol) return absl::OkStatus();
  return Fail(absl::StrCat("says pickle protocol ", protocol, "; there are 0 to ", kNewestProtocol));
}

absl::Status PickleMachine::Frame(int) {
  QWT_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber(8));
  if (length <= bytes_.size() - next_) return absl::OkStatus();
  return Fail(absl::StrCat("(FRAME) says ", length, " bytes where ", bytes_.size() - next_, " are left"));
}

absl::Status PickleMachine::Stop(int) {
  QWT_ASSIGN_OR_RETURN(pickle_.root, Pop());
  stopped_ = true;
  return absl::OkStatus();
}

absl::Status PickleMachine::Mark(int) {
  marks_.push_back(stack_.size());
  return absl::OkStatus();
}

absl::Status PickleMachine::PopOne(int) { return Pop().status(); }

absl::Status PickleMachine::PopMark(int) { return PopToMark().status(); }

absl::Status PickleMachine::Duplicate(int) {
  QWT_ASSIGN_OR_RETURN(const uint32_t index, Pop());
  stack_.insert(stack_.end(), 2, index);
  return absl::OkStatus();
}

absl::Status PickleMachine::None(int) { return Push({}); }

absl::Status PickleMachine::Bool(int value) {
  PickleValue pushed;
  pushed.kind = Kind::kBool;
  pushed.integer = value;
  return Push(std::move(pushed));
}

absl::Status PickleMachine::Integer(int width_bytes) {
  QWT_ASSIGN_OR_RETURN(const uint64_t number, TakeNumber(width_bytes));
  PickleValue value;
  value.kind = Kind::kInteger;
  value.integer = width_bytes == 4 ? static_cast<int32_t>(number) : static_cast<int64_t>(number);
  return Push(std::move(value));
}

absl::Status PickleMachine::Long(int length_bytes) {
  QWT_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber(length_bytes));
  if (length > INT32_MAX) return Fail(absl::StrCat("(", opcode_, ") has the negative length ", int32_t(length)));
  QWT_ASSIGN_OR_RETURN(absl::string_view raw, Take(length));
  if (raw.size() > sizeof(int64_t)) return PushText(Kind::kLargeInteger, raw);
  uint64_t number = !raw.empty() && raw.back() < 0 ? ~uint64_t{0} : 0;
  for (; !raw.empty(); raw.remove_suffix(1)) number = number << 8 | static_cast<unsigned char>(raw.back());
  PickleValue value;
  value.kind = Kind::kInteger;
  value.integer = static_cast<int64_t>(number);
  return Push(std::move(value));
}

absl::Status PickleMachine::Float(int) {
  QWT_ASSIGN_OR_RETURN(const uint64_t swapped, TakeNumber(8));
  const uint64_t bits = __builtin_bswap64(swapped);
  PickleValue value;
  value.kind = Kind::kFloat;
  std::memcpy(&value.real, &bits, sizeof(bits));
  return Push(std::move(value));
}

absl::Status PickleMachine::Unicode(int length_bytes) {
  QWT_ASSIGN_OR_RETURN(const absl::string_view text, TakeCounted(length_bytes));
  if (!IsUtf8(text)) return Fail(absl::StrCat("(", opcode_, ") has a string that is not UTF-8"));
  return PushText(Kind::kString, text);
}

// Python 2's str is text or bytes.
absl::Status PickleMachine::ByteString(int length_bytes) {
  QWT_ASSIGN_OR_RETURN(const absl::string_view text, TakeCounted(length_bytes));
  return PushText(IsUtf8(text) ? Kind::kString : Kind::kBytes, text);
}

absl::Status PickleMachine::Bytes(int length_bytes) {
  QWT_ASSIGN_OR_RETURN(const absl::string_view text, TakeCounted(length_bytes));
  return PushText(Kind::kBytes, text);
}

absl::Status PickleMachine::Empty(int kind) {
  PickleValue value;
  value.kind = static_cast<Kind>(kind);
  return Push(std::move(value));
}

absl::Status PickleMachine::Tuple(int items) {
  PickleValue value;
  value.kind = Kind::kTuple;
  value.items.resize(items);
  for (int i = items - 1; i >= 0; --i) {
    QWT_ASSIGN_OR_RETURN(value.items[i], Pop());
  }
  return Push(std::move(value));
}

absl::Status PickleMachine::TupleFromMark(int) {
  PickleValue value;
  value.kind = Kind::kTuple;
  QWT_ASSIGN_OR_RETURN(value.items, PopToMark());
  return Push(std::move(value));
}

absl::Status PickleMachine::Append(int) {
  QWT_ASSIGN_OR_RETURN(const uint32_t item, Pop());
  QWT_ASSIGN_OR_RETURN(PickleValue * list, Top(Kind::kList, "a list"));
  list->items.push_back(item);
  return absl::OkStatus();
}

absl::Status PickleMachine::AppendFromMark(int) {
  QWT_ASSIGN_OR_RETURN(const std::vector<uint32_t> items, PopToMark());
  QWT_ASSIGN_OR_RETURN(PickleValue * list, Top(Kind::kList, "a list"));
  list->items.insert(list->items.end(), items.begin(), items.end());
  return absl::OkStatus();
}

absl::Status PickleMachine::SetItem(int) {
  QWT_ASSIGN_OR_RETURN(const uint32_t value, Pop());
  QWT_ASSIGN_OR_RETURN(const uint32_t key, Pop());
  QWT_ASSIGN_OR_RETURN(PickleValue * dict, Top(Kind::kDict, "a dictionary"));
  return Assign(dict, {key, value});
}

absl::Status PickleMachine::SetItemsFromMark(int) {
  QWT_ASSIGN_OR_RETURN(const std::vector<uint32_t> items, PopToMark());
  QWT_ASSIGN_OR_RETURN(PickleValue * dict, Top(Kind::kDict, "a dictionary"));
  return Assign(dict, items);
}

absl::Status PickleMachine::Assign(PickleValue* dict, absl::Span<const uint32_t> keys_and_values) {
  if (keys_and_values.size() % 2 != 0) return Fail(absl::StrCat("(", opcode_, ") has a key without a value"));
  for (size_t i = 0; i < keys_and_values.size(); i += 2) {
    const PickleValue& key = pickle_.values[keys_and_values[i]];
    if (key.kind == Kind::kList || key.kind == Kind::kDict) {
      return Fail(absl::StrCat("(", opcode_, ") has ", Describe(key), " as a dictionary key"));
    }
  }
  dict->items.insert(dict->items.end(), keys_and_values.begin(), keys_and_values.end());
  return absl::OkStatus();
}

absl::Status PickleMachine::PutAt(uint32_t index) {
  QWT_ASSIGN_OR_RETURN(const uint32_t value, Pop());
  stack_.push_back(value);
  memo_[index] = value;
  return absl::OkStatus();
}

absl::Status PickleMachine::Put(int index_bytes) {
  QWT_ASSIGN_OR_RETURN(const uint64_t index, TakeNumber(index_bytes));
  return PutAt(index);
}

absl::Status PickleMachine::Memoize(int) { return PutAt(memo_.size()); }

absl::Status PickleMachine::Get(int index_bytes) {
  QWT_ASSIGN_OR_RETURN(const uint64_t index, TakeNumber(index_bytes));
  const auto found = memo_.find(index);
  if (found == memo_.end()) return Fail(absl::StrCat("(", opcode_, ") asks for memo ", index, ", which nothing set"));
  stack_.push_back(found->second);
  return absl::OkStatus();
}

absl::Status PickleMachine::Global(int) {
  QWT_ASSIGN_OR_RETURN(const absl::string_view module, TakeLine());
  QWT_ASSIGN_OR_RETURN(const absl::string_view name, TakeLine());
  return PushGlobal(module, name);
}

absl::Status PickleMachine::StackGlobal(int) {
  QWT_ASSIGN_OR_RETURN(const uint32_t name, Pop());
  QWT_ASSIGN_OR_RETURN(const uint32_t module, Pop());
  for (uint32_t index : {module, name}) {
    const PickleValue& part = pickle_[index];
    if (part.kind != Kind::kString) return Fail(absl::StrCat("(STACK_GLOBAL) wants a string, has ", Describe(part)));
  }
  return PushGlobal(pickle_[module].text, pickle_[name].text);
}

absl::Status PickleMachine::PushGlobal(absl::string_view module, absl::string_view name) {
  const auto found = std::find_if(globals_.begin(), globals_.end(), [&](const PickleGlobal& global) {
    const size_t dot = global.name.rfind('.');
    return global.name.substr(0, dot) == module && global.name.substr(dot + 1) == name;
  });
  if (found != globals_.end()) return PushText(Kind::kGlobal, found->name);
  std::string allowed = absl::StrJoin(
      globals_, ", ", [](std::string* out, const PickleGlobal& global) { absl::StrAppend(out, global.name); });
  return Fail(absl::StrCat("asks for ", absl::CHexEscape(module.substr(0, kLongestName)), ".",
                           absl::CHexEscape(name.substr(0, kLongestName)),
                           "; a checkpoint may hold tensors and containers only (", allowed,
                           "). If you trust the file, load it with PyTorch and save its state_dict() with torch.save"));
}

absl::Status PickleMachine::PersistentId(int) {
  PickleValue value;
  value.kind = Kind::kPersistentId;
  QWT_ASSIGN_OR_RETURN(const uint32_t id, Pop());
  value.items = {id};
  return Push(std::move(value));
}

// `value` is a kGlobal.
const PickleGlobal& PickleMachine::GlobalOf(const PickleValue& value) const {
  return *std::find_if(globals_.begin(), globals_.end(),
                       [&](const PickleGlobal& global) { return global.name == value.text; });
}

// REDUCE and NEWOBJ: nothing that is allowed tells them apart.
absl::Status PickleMachine::Call(int) {
  QWT_ASSIGN_OR_RETURN(const uint32_t arguments_index, Pop());
  QWT_ASSIGN_OR_RETURN(const uint32_t function_index, Pop());
  const PickleValue& function = pickle_[function_index];
  const PickleValue& arguments = pickle_[arguments_index];
  if (function.kind != Kind::kGlobal) return Fail(absl::StrCat("(", opcode_, ") calls ", Describe(function)));
  if (arguments.kind != Kind::kTuple) {
    return Fail(absl::StrCat("(", opcode_, ") calls ", function.text, " with ", Describe(arguments), ", not a tuple"));
  }
  switch (GlobalOf(function).call) {
    case PickleGlobal::kNothing:
      return Fail(absl::StrCat("(", opcode_, ") calls ", function.text, ", which no checkpoint needs"));
    case PickleGlobal::kDict:
      return MakeDict(arguments);
    case PickleGlobal::kArgument:
      if (arguments.items.size() != 1 || pickle_[arguments.items[0]].kind != Kind::kTuple) {
        return Fail(absl::StrCat("(", opcode_, ") calls ", function.text, " with something else than one tuple"));
      }
      stack_.push_back(arguments.items[0]);
      return absl::OkStatus();
    case PickleGlobal::kTensor:
    case PickleGlobal::kObject:
      break;
  }
  PickleValue value;
  value.kind = Kind::kObject;
  value.items = {function_index, arguments_index};
  return Push(std::move(value));
}

// OrderedDict() or, as Python 2 wrote, OrderedDict([[key, value], ...]).
absl::Status PickleMachine::MakeDict(const PickleValue& arguments) {
  PickleValue dict;
  dict.kind = Kind::kDict;
  const std::string problem = absl::StrCat("(", opcode_, ") makes a dictionary of something else than pairs");
  if (arguments.items.size() > 1) return Fail(problem);
  for (uint32_t list_index : arguments.items) {
    const PickleValue& list = pickle_[list_index];
    if (list.kind != Kind::kList) return Fail(problem);
    QWT_RETURN_IF_ERROR(Spend(list.items.size()));  // many dictionaries may be made of one list
    for (uint32_t pair_index : list.items) {
      const PickleValue& pair = pickle_[pair_index];
      if ((pair.kind != Kind::kList && pair.kind != Kind::kTuple) || pair.items.size() != 2) return Fail(problem);
      QWT_RETURN_IF_ERROR(Assign(&dict, pair.items));
    }
  }
  return Push(std::move(dict));
}

absl::Status PickleMachine::Build(int) {
  QWT_RETURN_IF_ERROR(Pop().status());
  QWT_ASSIGN_OR_RETURN(const uint32_t index, Pop());
  stack_.push_back(index);
  const PickleValue& target = pickle_[index];
  if (target.kind == Kind::kDict) return absl::OkStatus();
  if (target.kind == Kind::kObject && GlobalOf(pickle_[target.items[0]]).call == PickleGlobal::kObject) {
    return absl::OkStatus();
  }
  return Fail(absl::StrCat("(BUILD) sets attributes of ", Describe(target)));
}

}  // namespace qwt
