// What ends a run early (Ctrl-C, the end of another rank) as a status: long work asks between items, so that what is
// done is kept and what is half done is dropped.
#pragma once

#include "absl/status/status.h"

namespace qwt {

// SIGINT and SIGTERM set the flag; a second one ends the program at once.
void InstallInterruptHandler();
void RequestInterrupt();  // what the handler does; for tests
void ClearInterrupt();    // for tests; forgets StopWork, too
// Ends the work from another thread: `why`, which must not be OK, is what CheckInterrupt says from now on, whatever
// signal comes or came. The first call counts.
void StopWork(const absl::Status& why);
// What StopWork was given, or Cancelled("interrupted") after a signal; otherwise OK.
absl::Status CheckInterrupt();

}  // namespace qwt
