// The machine behind ParsePickle: one function for what opcodes do, run by the table of pickle.cc.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/checkpoints/pickle.h"

namespace qwt {

// What CPython's Lib/pickle.py and Lib/pickletools.py say of each opcode. Values are made in an arena and refer to each
// other by index: nothing here or in the destruction of the result recurses.
class PickleMachine {
 public:
  PickleMachine(absl::string_view bytes, absl::Span<const PickleGlobal> globals, uint64_t position)
      : bytes_(bytes), globals_(globals), position_(position) {}

  absl::StatusOr<Pickle> Run();

  absl::Status Protocol(int);
  absl::Status Frame(int);
  absl::Status Stop(int);
  absl::Status Mark(int);
  absl::Status PopOne(int);
  absl::Status PopMark(int);
  absl::Status Duplicate(int);
  absl::Status None(int);
  absl::Status Bool(int value);
  absl::Status Integer(int width_bytes);
  absl::Status Long(int length_bytes);
  absl::Status Float(int);
  absl::Status Unicode(int length_bytes);
  absl::Status ByteString(int length_bytes);
  absl::Status Bytes(int length_bytes);
  absl::Status Empty(int kind);
  absl::Status Tuple(int items);
  absl::Status TupleFromMark(int);
  absl::Status Append(int);
  absl::Status AppendFromMark(int);
  absl::Status SetItem(int);
  absl::Status SetItemsFromMark(int);
  absl::Status Put(int index_bytes);
  absl::Status Get(int index_bytes);
  absl::Status Memoize(int);
  absl::Status Global(int);
  absl::Status StackGlobal(int);
  absl::Status PersistentId(int);
  absl::Status Call(int);
  absl::Status Build(int);

 private:
  absl::Status Fail(absl::string_view what) const;  // "the pickle at byte N WHAT"
  absl::Status Spend(uint64_t steps);

  absl::StatusOr<absl::string_view> Take(uint64_t bytes);           // the next bytes
  absl::StatusOr<absl::string_view> TakeCounted(int length_bytes);  // a length, then so many bytes
  absl::StatusOr<uint64_t> TakeNumber(int bytes);
  absl::StatusOr<absl::string_view> TakeLine();

  absl::Status Push(PickleValue value);
  absl::Status PushText(PickleValue::Kind kind, absl::string_view text);
  absl::StatusOr<uint32_t> Pop();
  absl::StatusOr<std::vector<uint32_t>> PopToMark();
  absl::StatusOr<PickleValue*> Top(PickleValue::Kind kind, absl::string_view what);

  absl::Status PushGlobal(absl::string_view module, absl::string_view name);
  absl::Status Assign(PickleValue* dict, absl::Span<const uint32_t> keys_and_values);
  const PickleGlobal& GlobalOf(const PickleValue& value) const;
  absl::Status MakeDict(const PickleValue& arguments);
  absl::Status PutAt(uint32_t index);

  absl::string_view bytes_;
  absl::Span<const PickleGlobal> globals_;
  uint64_t position_;       // of bytes_ in the file
  uint64_t next_ = 0;       // in bytes_
  uint64_t opcode_at_ = 0;  // of the opcode that runs
  const char* opcode_ = "";
  uint64_t steps_ = 0;
  bool stopped_ = false;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::map<uint32_t, uint32_t> memo_;
  Pickle pickle_;
};

struct PickleOpcode {
  unsigned char byte;
  const char* name;
  absl::Status (PickleMachine::*run)(int);  // nullptr: Python has it, tensors and containers do not need it
  int argument;
};

// nullptr where Python has no such opcode.
const PickleOpcode* FindPickleOpcode(unsigned char byte);

}  // namespace qwt
