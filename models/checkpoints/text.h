// Text that a file brings along.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace qwt {

// Well-formed, shortest forms only, no surrogates.
bool IsUtf8(absl::string_view text);

// UTF-8 in single quotes, for messages: control characters escaped, cut where it is long.
std::string QuoteForMessage(absl::string_view text);

}  // namespace qwt
