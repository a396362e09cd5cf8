// Status macros, the one adapter for exceptions, and errors with context. No torch.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#define QWT_RETURN_IF_ERROR(expression)                                                \
  do {                                                                                 \
    if (::absl::Status qwt_status = (expression); !qwt_status.ok()) return qwt_status; \
  } while (false)

// QWT_ASSIGN_OR_RETURN(auto value, Function());  the declaration must hold no comma outside parentheses.
#define QWT_ASSIGN_OR_RETURN(declaration, expression) \
  QWT_ASSIGN_OR_RETURN_(QWT_CONCAT_(qwt_status_or_, __LINE__), declaration, expression)
#define QWT_ASSIGN_OR_RETURN_(temporary, declaration, expression) \
  auto temporary = (expression);                                  \
  if (!temporary.ok()) return std::move(temporary).status();      \
  declaration = *std::move(temporary)
#define QWT_CONCAT_(a, b) QWT_CONCAT_INNER_(a, b)
#define QWT_CONCAT_INNER_(a, b) a##b

namespace qwt {

// The same code with "CONTEXT: " in front of the message; OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// The current exception (call it inside catch (...)) as Internal, "CONTEXT: what()". Bad allocations are
// ResourceExhausted.
absl::Status StatusFromCurrentException(absl::string_view context);

// Runs a function that returns absl::Status and converts what it throws.
template <typename Function>
absl::Status CatchExceptions(absl::string_view context, Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (...) {
    return StatusFromCurrentException(context);
  }
}

// The message for errno after a failed system call on a file: "open 'PATH': No space left on device". The code follows
// errno: NotFound, PermissionDenied, ResourceExhausted (full disk), otherwise Unavailable.
absl::Status ErrnoStatus(int error_number, absl::string_view what);

}  // namespace qwt
