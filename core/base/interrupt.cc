#include "core/base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace qwt {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

// Never freed: a reader may hold it. There is one in a run's life.
std::atomic<const absl::Status*> stopped{nullptr};

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

void ClearInterrupt() {
  interrupted = false;
  stopped = nullptr;
}

void StopWork(const absl::Status& why) {
  const absl::Status* nothing = nullptr;
  const auto* reason = new absl::Status(why);
  if (!stopped.compare_exchange_strong(nothing, reason)) delete reason;
}

absl::Status CheckInterrupt() {
  if (const absl::Status* why = stopped) return *why;
  return interrupted ? absl::CancelledError("interrupted") : absl::OkStatus();
}

}  // namespace qwt
