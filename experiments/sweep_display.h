// What a sweep prints: a line for each run as it ends and, on a terminal, what runs now below them, in place.
#pragma once

#include <chrono>
#include <map>
#include <string>

namespace qwt {

class SweepDisplay {
 public:
  // runs: how many there are, done or not.
  SweepDisplay(int runs, bool terminal);

  // A line that stays, after those before it.
  void Print(const std::string& line);
  // log: the file with what the run prints.
  void Started(const std::string& name, const std::string& log);
  void Ended(const std::string& name);
  // On a terminal, what runs now, anew, a few times a second; else a line of it every minute.
  void Tick(int done);
  // Removes what runs now.
  void Clear();

 private:
  struct Running {
    std::string log;
    std::chrono::steady_clock::time_point start;
  };
  std::string Line(const std::string& name, const Running& running) const;

  const int runs_;
  const bool terminal_;
  int lines_ = 0;  // of what runs now, on the screen
  std::chrono::steady_clock::time_point ticked_;
  std::map<std::string, Running> running_;  // by name
};

}  // namespace qwt
