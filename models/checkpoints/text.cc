#include "models/checkpoints/text.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace qwt {
namespace {

constexpr size_t kLongestQuote = 100;  // bytes

}  // namespace

bool IsUtf8(absl::string_view text) {
  constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};  // code point by number of further bytes
  for (size_t i = 0; i < text.size();) {
    const unsigned char first = text[i++];
    const int more = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1;
    if (more < 0 || text.size() - i < static_cast<size_t>(more)) return false;
    uint32_t code = more == 0 ? first : first & (0x3f >> more);
    for (int k = 0; k < more; ++k) {
      const unsigned char next = text[i++];
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    if (code < kSmallest[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
  }
  return true;
}

std::string QuoteForMessage(absl::string_view text) {
  const bool is_utf8 = IsUtf8(text), is_long = text.size() > kLongestQuote;
  if (is_long) {
    size_t end = kLongestQuote;
    while (is_utf8 && (text[end] & 0xc0) == 0x80) --end;  // of a whole character
    text = text.substr(0, end);
  }
  return absl::StrCat("'", is_utf8 ? absl::Utf8SafeCHexEscape(text) : absl::CHexEscape(text), is_long ? "…'" : "'");
}

}  // namespace qwt
