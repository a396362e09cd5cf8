// Progress of long work on stderr: in place on a terminal, a line every ten seconds elsewhere. Thread safe; silent on
// ranks other than 0.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace qwt {

class Progress {
 public:
  explicit Progress(bool enabled);
  // What is going on now: "fit blocks.3", of `total` `unit`s. `note` is asked for what else there is to say at the
  // line's end; it must stay callable until End() or the next Begin().
  void Begin(const std::string& what, int64_t total, const std::string& unit, std::function<std::string()> note = {});
  void Advance(int64_t count);
  // Removes the line in place; forgets the note.
  void End();

 private:
  void Print();
  const bool enabled_, terminal_;
  std::mutex mutex_;
  std::string what_, unit_;
  std::function<std::string()> note_;
  int64_t total_ = 0, done_ = 0;
  std::chrono::steady_clock::time_point start_, printed_;
};

// What bounds work of `seconds` that waited `load_seconds` of them for images to be decoded and `transfer_seconds` for
// them to arrive on the GPU: the longer of the two where they are more than half of it, "decode" or "transfer"; else
// "compute".
const char* BoundBy(double load_seconds, double transfer_seconds, double seconds);

// "1.2 s", "3 min 20 s", "2 h 5 min".
std::string FormatDuration(double seconds);

}  // namespace qwt
