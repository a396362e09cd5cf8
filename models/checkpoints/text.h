// Text that a file brings along.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace qwt {

// Well-formed, shortest forms only, no surrogates.
bool IsUtf8(absl::string_view text);

// In single quotes, for messages: UTF-8 whatever `text` is, control characters and other bytes escaped, cut where it is
// long.
std::string QuoteForMessage(absl::string_view text);

}  // namespace qwt
