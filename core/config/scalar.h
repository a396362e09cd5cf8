// YAML's plain values: what is a number or a bool, and how a value is written so that it is read back as it was.
#pragma once

#include <cstdint>
#include <string>

namespace qwt {

// Decimal integers, numbers without NaN, and true/false as in YAML 1.2 (`yes` and `0x10` are neither). False if it is
// none.
bool ReadInt(const std::string& text, int64_t* value);
bool ReadDouble(const std::string& text, double* value);
bool ReadBool(const std::string& text, bool* value);
bool IsNull(const std::string& text);

// The shortest text that reads back as the same number: "0.999", "4", "1e-10", ".inf".
std::string DoubleText(double value);
// The string as it is where YAML reads it as a string and nothing else, else in double quotes.
std::string QuotedIfNeeded(const std::string& text);
// The same for a value: "${" is written "$${", so that it is not taken for a variable.
std::string YamlString(const std::string& text);

}  // namespace qwt
