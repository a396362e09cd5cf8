// Text made smaller: the zlib format (RFC 1950), which every language's standard library reads.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qwt {

// The same bytes for the same text.
std::string Compress(absl::string_view text);
// `size`: of the text. DataLoss where the bytes are no stream of the zlib format or one of a text of another size;
// InvalidArgument for a size that so few bytes cannot hold. Takes no more memory than the text.
absl::StatusOr<std::string> Decompress(absl::string_view compressed, uint64_t size);

}  // namespace qwt
