// Ctrl-C as a status: long work asks between items, so that what is done is kept and what is half done is dropped.
#pragma once

#include "absl/status/status.h"

namespace qwt {

// SIGINT and SIGTERM set the flag; a second one ends the program at once.
void InstallInterruptHandler();
void RequestInterrupt();  // what the handler does; for tests
void ClearInterrupt();    // for tests
// Cancelled("interrupted") after a signal, otherwise OK.
absl::Status CheckInterrupt();

}  // namespace qwt
