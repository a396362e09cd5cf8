// Progress of long work on stderr: in place on a terminal, a line every ten seconds elsewhere. Thread safe; silent on
// ranks other than 0.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace qwt {

class Progress {
 public:
  explicit Progress(bool enabled);
  // What is going on now: "fit blocks.3", of `total` `unit`s.
  void Begin(const std::string& what, int64_t total, const std::string& unit);
  void Advance(int64_t count);
  // Removes the line in place.
  void End();

 private:
  void Print();
  const bool enabled_, terminal_;
  std::mutex mutex_;
  std::string what_, unit_;
  int64_t total_ = 0, done_ = 0;
  std::chrono::steady_clock::time_point start_, printed_;
};

// "1.2 s", "3 min 20 s", "2 h 5 min".
std::string FormatDuration(double seconds);

}  // namespace qwt
