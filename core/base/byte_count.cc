#include "core/base/byte_count.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace qwt {
namespace {

struct Unit {
  const char* name;
  double bytes;
};
constexpr Unit kUnits[] = {{"", 1},          {"B", 1},         {"kB", 1e3},
                           {"MB", 1e6},      {"GB", 1e9},      {"TB", 1e12},
                           {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1099511627776.0}};

}  // namespace

std::optional<int64_t> ParseBytes(absl::string_view text) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  if (!absl::SimpleAtod(text.substr(0, end), &number)) return std::nullopt;
  for (const Unit& unit : kUnits) {
    if (text.substr(end) != unit.name) continue;
    if (number * unit.bytes >= 9e18) return std::nullopt;
    return static_cast<int64_t>(number * unit.bytes);
  }
  return std::nullopt;
}

std::string FormatBytes(int64_t bytes) {
  constexpr const char* kNames[] = {"B", "kB", "MB", "GB", "TB"};
  double size = bytes;
  size_t unit = 0;
  for (; size >= 999.5 && unit + 1 < std::size(kNames); ++unit) size /= 1000;
  if (unit == 0) return absl::StrCat(bytes, " B");
  return absl::StrFormat(size < 9.95 ? "%.1f %s" : "%.0f %s", size, kNames[unit]);
}

int64_t AvailableMemoryBytes() {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) return std::atoll(line.c_str() + 13) * 1024;
  }
  return 0;
}

}  // namespace qwt
