// What tests write pickles with: the opcodes of single values.
#pragma once

#include <string>

#include "models/checkpoints/zip_writer.h"

namespace qwt {

// Bytes of a literal that may hold zeros.
template <size_t N>
std::string B(const char (&literal)[N]) {
  return std::string(literal, N - 1);
}

inline std::string PickleOf(const std::string& opcodes) { return B("\x80\x02") + opcodes + "."; }
inline std::string PickleString(const std::string& text) { return "X" + Number(text.size(), 4) + text; }
inline std::string PickleInteger(int64_t value) { return B("\x8a\x08") + Number(value, 8); }
inline std::string PickleGlobalName(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

}  // namespace qwt
