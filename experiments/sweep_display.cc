#include "experiments/sweep_display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pipelines/progress.h"

namespace qwt {
namespace {

constexpr double kTerminalInterval = 0.25, kLogInterval = 60;  // seconds

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The last line that a run printed.
std::string LastLine(const std::string& path) {
  constexpr int64_t kTail = 1024;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const int64_t size = file.tellg();
  file.seekg(std::max<int64_t>(0, size - kTail));
  std::string last;
  for (std::string line; std::getline(file, line);) {
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (!text.empty()) last = std::string(text);
  }
  return last;
}

size_t ScreenWidth() {
  winsize size = {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

// At most `width` characters of UTF-8: a line that wraps could not be taken back.
std::string Shortened(const std::string& text, size_t width) {
  size_t characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80 && ++characters > width) return text.substr(0, i);
  }
  return text;
}

}  // namespace

SweepDisplay::SweepDisplay(int runs, bool terminal) : runs_(runs), terminal_(terminal) {}

void SweepDisplay::Print(const std::string& line) {
  Clear();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void SweepDisplay::Started(const std::string& name, const std::string& log) {
  running_[name] = {log, std::chrono::steady_clock::now()};
  if (!terminal_) Print(absl::StrCat("  ", name, " started"));
}

void SweepDisplay::Ended(const std::string& name) { running_.erase(name); }

std::string SweepDisplay::Line(const std::string& name, const Running& running) const {
  return absl::StrFormat("  %-28s %9s  %s", name, FormatDuration(SecondsSince(running.start)), LastLine(running.log));
}

void SweepDisplay::Tick(int done) {
  if (SecondsSince(ticked_) < (terminal_ ? kTerminalInterval : kLogInterval)) return;
  const bool first = ticked_ == std::chrono::steady_clock::time_point();
  ticked_ = std::chrono::steady_clock::now();
  if (!terminal_ && first) return;
  Clear();
  for (const auto& [name, running] : running_) {
    std::printf("%s\n", Shortened(Line(name, running), terminal_ ? ScreenWidth() - 1 : 1000).c_str());
    ++lines_;
  }
  if (terminal_) std::printf("  %d of %d runs done, %zu running\n", done, runs_, running_.size()), ++lines_;
  std::fflush(stdout);
  if (!terminal_) lines_ = 0;
}

void SweepDisplay::Clear() {
  if (lines_ > 0) std::printf("\033[%dA\033[J", lines_);
  lines_ = 0;
}

}  // namespace qwt
