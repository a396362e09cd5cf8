// The project's version, as results and saved models name it.
#pragma once

namespace qwt {
inline constexpr char kVersion[] = "0.1.0";
}  // namespace qwt
