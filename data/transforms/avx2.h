// Whether this processor has the vector instructions that the transforms are written in beside their plain form.
#pragma once

namespace qwt {

inline bool HasAvx2() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
#else
  return false;
#endif
}

}  // namespace qwt
