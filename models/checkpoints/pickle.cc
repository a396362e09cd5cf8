#include "models/checkpoints/pickle.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "models/checkpoints/pickle_machine.h"

namespace qwt {
namespace {

using Kind = PickleValue::Kind;

constexpr PickleOpcode kOpcodes[] = {
    {0x80, "PROTO", &PickleMachine::Protocol, 0},
    {0x95, "FRAME", &PickleMachine::Frame, 0},
    {'.', "STOP", &PickleMachine::Stop, 0},
    {'(', "MARK", &PickleMachine::Mark, 0},
    {'0', "POP", &PickleMachine::PopOne, 0},
    {'1', "POP_MARK", &PickleMachine::PopMark, 0},
    {'2', "DUP", &PickleMachine::Duplicate, 0},
    {'N', "NONE", &PickleMachine::None, 0},
    {0x88, "NEWTRUE", &PickleMachine::Bool, 1},
    {0x89, "NEWFALSE", &PickleMachine::Bool, 0},
    {'K', "BININT1", &PickleMachine::Integer, 1},
    {'M', "BININT2", &PickleMachine::Integer, 2},
    {'J', "BININT", &PickleMachine::Integer, 4},
    {0x8a, "LONG1", &PickleMachine::Long, 1},
    {0x8b, "LONG4", &PickleMachine::Long, 4},
    {'G', "BINFLOAT", &PickleMachine::Float, 0},
    {0x8c, "SHORT_BINUNICODE", &PickleMachine::Unicode, 1},
    {'X', "BINUNICODE", &PickleMachine::Unicode, 4},
    {0x8d, "BINUNICODE8", &PickleMachine::Unicode, 8},
    {'U', "SHORT_BINSTRING", &PickleMachine::ByteString, 1},
    {'T', "BINSTRING", &PickleMachine::ByteString, 4},
    {'C', "SHORT_BINBYTES", &PickleMachine::Bytes, 1},
    {'B', "BINBYTES", &PickleMachine::Bytes, 4},
    {0x8e, "BINBYTES8", &PickleMachine::Bytes, 8},
    {0x96, "BYTEARRAY8", &PickleMachine::Bytes, 8},
    {')', "EMPTY_TUPLE", &PickleMachine::Empty, Kind::kTuple},
    {']', "EMPTY_LIST", &PickleMachine::Empty, Kind::kList},
    {'}', "EMPTY_DICT", &PickleMachine::Empty, Kind::kDict},
    {0x8f, "EMPTY_SET", &PickleMachine::Empty, Kind::kList},
    {0x85, "TUPLE1", &PickleMachine::Tuple, 1},
    {0x86, "TUPLE2", &PickleMachine::Tuple, 2},
    {0x87, "TUPLE3", &PickleMachine::Tuple, 3},
    {'t', "TUPLE", &PickleMachine::TupleFromMark, 0},
    {0x91, "FROZENSET", &PickleMachine::TupleFromMark, 0},
    {'a', "APPEND", &PickleMachine::Append, 0},
    {'e', "APPENDS", &PickleMachine::AppendFromMark, 0},
    {0x90, "ADDITEMS", &PickleMachine::AppendFromMark, 0},
    {'s', "SETITEM", &PickleMachine::SetItem, 0},
    {'u', "SETITEMS", &PickleMachine::SetItemsFromMark, 0},
    {'q', "BINPUT", &PickleMachine::Put, 1},
    {'r', "LONG_BINPUT", &PickleMachine::Put, 4},
    {'h', "BINGET", &PickleMachine::Get, 1},
    {'j', "LONG_BINGET", &PickleMachine::Get, 4},
    {0x94, "MEMOIZE", &PickleMachine::Memoize, 0},
    {'c', "GLOBAL", &PickleMachine::Global, 0},
    {0x93, "STACK_GLOBAL", &PickleMachine::StackGlobal, 0},
    {'Q', "BINPERSID", &PickleMachine::PersistentId, 0},
    {'R', "REDUCE", &PickleMachine::Call, 0},
    {0x81, "NEWOBJ", &PickleMachine::Call, 0},
    {'b', "BUILD", &PickleMachine::Build, 0},
    {0x92, "NEWOBJ_EX", nullptr, 0},
    {'i', "INST", nullptr, 0},
    {'o', "OBJ", nullptr, 0},
    {0x82, "EXT1", nullptr, 0},
    {0x83, "EXT2", nullptr, 0},
    {0x84, "EXT4", nullptr, 0},
    {'P', "PERSID", nullptr, 0},
    {'I', "INT", nullptr, 0},
    {'L', "LONG", nullptr, 0},
    {'F', "FLOAT", nullptr, 0},
    {'S', "STRING", nullptr, 0},
    {'V', "UNICODE", nullptr, 0},
    {'p', "PUT", nullptr, 0},
    {'g', "GET", nullptr, 0},
    {'l', "LIST", nullptr, 0},
    {'d', "DICT", nullptr, 0},
    {0x97, "NEXT_BUFFER", nullptr, 0},
    {0x98, "READONLY_BUFFER", nullptr, 0},
};

}  // namespace

const PickleOpcode* FindPickleOpcode(unsigned char byte) {
  static const std::array<const PickleOpcode*, 256> by_byte = [] {
    std::array<const PickleOpcode*, 256> table{};
    for (const PickleOpcode& opcode : kOpcodes) table[opcode.byte] = &opcode;
    return table;
  }();
  return by_byte[byte];
}

absl::StatusOr<Pickle> ParsePickle(absl::string_view bytes, absl::Span<const PickleGlobal> globals, uint64_t position) {
  return PickleMachine(bytes, globals, position).Run();
}

std::string Describe(const PickleValue& value) {
  switch (value.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.integer ? "True" : "False";
    case Kind::kInteger:
      return absl::StrCat("the integer ", value.integer);
    case Kind::kLargeInteger:
      return "an integer of more than 64 bits";
    case Kind::kFloat:
      return "a float";
    case Kind::kString:
      return "a string";
    case Kind::kBytes:
      return "bytes";
    case Kind::kTuple:
      return "a tuple";
    case Kind::kList:
      return "a list";
    case Kind::kDict:
      return "a dictionary";
    case Kind::kGlobal:
      return absl::StrCat("the global ", value.text);
    case Kind::kPersistentId:
      return "a persistent id";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

}  // namespace qwt
