#include "core/config/scalar.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace qwt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool OnlyOf(const std::string& text, const char* characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string::npos;
}

// What any reader of YAML, 1.1 too, could take for something other than a string.
bool LooksLikeAnotherType(const std::string& text) {
  double number;
  if (IsNull(text) || ReadDouble(text, &number)) return true;
  const std::string lower = absl::AsciiStrToLower(text);
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "+.inf", "-.inf"}) {
    if (lower == word) return true;
  }
  // Dates, times, and integers that are hexadecimal, octal or written with underscores.
  const size_t first = lower.find_first_not_of("+-.");
  return OnlyOf(lower, "0123456789abcdefox+-_.:tz") && first != std::string::npos && absl::ascii_isdigit(lower[first]);
}

bool IsPlain(const std::string& text) {
  static constexpr char kInside[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./~+-@%=$";
  if (!OnlyOf(text, kInside)) return false;
  const char first = text[0];
  return absl::ascii_isalnum(first) || first == '_' || first == '/' || first == '~' || (first == '.' && text != "...");
}

}  // namespace

bool ReadInt(const std::string& text, int64_t* value) {
  return OnlyOf(text, "+-0123456789") && absl::SimpleAtoi(text, value);
}

bool ReadDouble(const std::string& text, double* value) {
  if (text == ".inf" || text == "+.inf" || text == "-.inf") {
    *value = text[0] == '-' ? -kInfinity : kInfinity;
    return true;
  }
  return OnlyOf(text, "+-.0123456789eE") && absl::SimpleAtod(text, value) && std::isfinite(*value);
}

bool ReadBool(const std::string& text, bool* value) {
  *value = text == "true" || text == "True" || text == "TRUE";
  return *value || text == "false" || text == "False" || text == "FALSE";
}

bool IsNull(const std::string& text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

std::string DoubleText(double value) {
  if (std::isinf(value)) return value < 0 ? "-.inf" : ".inf";
  constexpr double kExactIntegers = 1e15;
  if (value == std::trunc(value) && std::abs(value) < kExactIntegers) return absl::StrCat(static_cast<int64_t>(value));
  std::array<char, 32> buffer;
  const std::to_chars_result result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return std::string(buffer.data(), result.ptr);
}

std::string QuotedIfNeeded(const std::string& text) {
  if (IsPlain(text) && !LooksLikeAnotherType(text)) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&quoted, "\\", std::string(1, c));
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (absl::ascii_iscntrl(c)) {
      absl::StrAppend(&quoted, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string YamlString(const std::string& text) { return QuotedIfNeeded(absl::StrReplaceAll(text, {{"${", "$${"}})); }

}  // namespace qwt
