// Python's pickles as data: a machine that makes values, calls nothing and imports nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace qwt {

// A Python name that a pickle may hold, and what calling it makes. Every other name is refused where it is pushed.
struct PickleGlobal {
  enum Call {
    kNothing,   // calling it is refused
    kDict,      // a dictionary of its argument's pairs
    kArgument,  // its argument, a tuple
    kTensor,    // a kObject, which keeps the call
    kObject,    // the same; what BUILD sets on it is dropped
  };
  absl::string_view name;  // "module.name"
  Call call;
};

struct PickleValue {
  enum Kind : uint8_t {
    kNone,
    kBool,
    kInteger,
    kLargeInteger,  // does not fit 64 bits
    kFloat,
    kString,
    kBytes,
    kTuple,
    kList,  // or a set
    kDict,
    kGlobal,
    kPersistentId,
    kObject,
  };

  Kind kind = kNone;
  int64_t integer = 0;  // of kBool and kInteger
  double real = 0;      // of kFloat
  absl::string_view
      text;  // of kString (UTF-8) and kBytes; of kGlobal its name; of kLargeInteger its bytes, least first
  // Others, by index. kTuple, kList: its items. kDict: key, value, key, value in the order of assignment, so that of
  // equal keys the last counts. kPersistentId: what was given as id. kObject: the global and the tuple of its
  // arguments.
  std::vector<uint32_t> items;
};

// All values of one pickle; one may hold itself or be held by many. Texts are views of the pickle's bytes.
struct Pickle {
  std::deque<PickleValue> values;
  uint32_t root = 0;   // the pickled object
  uint64_t bytes = 0;  // the pickle's length

  const PickleValue& operator[](uint32_t index) const { return values[index]; }
};

// A pickle of protocols 2 to 5 at the beginning of `bytes`, which may go on behind it and must outlive the result.
// `position` is where they stand in their file, for messages. What BUILD sets on dictionaries and objects is parsed and
// dropped. DataLoss, with the place and the reason: other globals and opcodes, what is cut short or malformed, more
// than a million steps (which bounds time, and memory to about 100 MB).
absl::StatusOr<Pickle> ParsePickle(absl::string_view bytes, absl::Span<const PickleGlobal> globals,
                                   uint64_t position = 0);

// "a string", "the integer -3": for messages.
std::string Describe(const PickleValue& value);

}  // namespace qwt
