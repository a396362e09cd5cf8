#include "core/base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace qwt {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

constexpr int kExitInterrupted = 130;

void OnSignal(int) {
  if (interrupted.exchange(true)) _exit(kExitInterrupted);
}

}  // namespace

void InstallInterruptHandler() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;  // libraries below us are not ready for EINTR
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void RequestInterrupt() { OnSignal(SIGINT); }

void ClearInterrupt() { interrupted = false; }

absl::Status CheckInterrupt() { return interrupted ? absl::CancelledError("interrupted") : absl::OkStatus(); }

}  // namespace qwt
