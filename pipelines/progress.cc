#include "pipelines/progress.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace qwt {
namespace {
constexpr double kTerminalInterval = 0.2, kLogInterval = 10;  // seconds between two prints

double Seconds(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}
}  // namespace

Progress::Progress(bool enabled) : enabled_(enabled), terminal_(isatty(STDERR_FILENO)) {}

void Progress::Begin(const std::string& what, int64_t total, const std::string& unit,
                     std::function<std::string()> note) {
  std::lock_guard<std::mutex> lock(mutex_);
  what_ = what;
  unit_ = unit;
  note_ = std::move(note);
  total_ = total;
  done_ = 0;
  start_ = printed_ = std::chrono::steady_clock::now();
}

void Progress::Advance(int64_t count) {
  std::lock_guard<std::mutex> lock(mutex_);
  done_ += count;
  auto now = std::chrono::steady_clock::now();
  if (!enabled_ || Seconds(printed_, now) < (terminal_ ? kTerminalInterval : kLogInterval)) return;
  printed_ = now;
  Print();
}

void Progress::Print() {
  double seconds = Seconds(start_, printed_);
  double rate = done_ / std::max(seconds, 1e-9);
  std::string line = absl::StrFormat("  %-24s %d/%d %s  %.0f %s/s  %s left", what_, done_, total_, unit_, rate, unit_,
                                     FormatDuration((total_ - done_) / std::max(rate, 1e-9)));
  if (note_) absl::StrAppend(&line, note_());
  absl::FPrintF(stderr, terminal_ ? "\r%s\033[K" : "%s\n", line);
  std::fflush(stderr);
}

void Progress::End() {
  std::lock_guard<std::mutex> lock(mutex_);
  note_ = nullptr;
  if (enabled_ && terminal_) std::fputs("\r\033[K", stderr);
}

const char* BoundBy(double load_seconds, double transfer_seconds, double seconds) {
  if (load_seconds + transfer_seconds <= seconds / 2) return "compute";
  return load_seconds >= transfer_seconds ? "decode" : "transfer";
}

std::string FormatDuration(double seconds) {
  if (seconds < 60) return absl::StrFormat("%.1f s", seconds);
  int64_t whole = std::llround(seconds);
  if (whole < 3600) return absl::StrCat(whole / 60, " min ", whole % 60, " s");
  return absl::StrCat(whole / 3600, " h ", whole % 3600 / 60, " min");
}

}  // namespace qwt
