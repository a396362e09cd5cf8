#include "core/base/status.h"

#include <cerrno>
#include <cstring>
#include <exception>
#include <new>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace qwt {

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

absl::Status StatusFromCurrentException(absl::string_view context) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(context, ": out of memory"));
  } catch (const std::exception& error) {
    // c10::Error appends a C++ stack trace after the first line; the log of a user's run is no place for it.
    absl::string_view what = error.what();
    what = what.substr(0, what.find("\nException raised from"));
    // LibTorch's own types for this are not known here, and a GPU's libraries have theirs.
    const bool memory = absl::StrContains(what, "out of memory") || absl::StrContains(what, "ALLOC_FAILED");
    return absl::Status(memory ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
                        absl::StrCat(context, ": ", what));
  } catch (...) {
    return absl::InternalError(absl::StrCat(context, ": an exception of unknown type"));
  }
}

absl::Status ErrnoStatus(int error_number, absl::string_view what) {
  std::string message = absl::StrCat(what, ": ", std::strerror(error_number));
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace qwt
