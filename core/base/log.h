// Logging facade: glog behind one header, because its macros clash with c10's. QWT_LOG(INFO) << "text";
#pragma once

#include <sstream>
#include <string>

#include "absl/strings/string_view.h"

namespace qwt {

enum class LogSeverity { INFO, WARNING, ERROR };

// One log line; sent to glog when destroyed.
class LogMessage {
 public:
  LogMessage(LogSeverity severity, const char* file, int line) : severity_(severity), file_(file), line_(line) {}
  ~LogMessage();
  std::ostringstream& stream() { return stream_; }

 private:
  LogSeverity severity_;
  const char* file_;
  int line_;
  std::ostringstream stream_;
};

// Prepares glog once, at program start. INFO goes to the log file only, WARNING and above to stderr too.
void InitLogging(const char* program);
// Every line from now on is also appended to this file (run.log of a run's folder). Empty: no file.
void SetLogFile(const std::string& path);
// Each line of a run with several ranks starts with "[rank N] ".
void SetLogRank(int rank);

}  // namespace qwt

#define QWT_LOG(severity) ::qwt::LogMessage(::qwt::LogSeverity::severity, __FILE__, __LINE__).stream()

// For invariants that no input can break; what an input can break returns a Status.
#define QWT_CHECK(condition) \
  if (condition) {           \
  } else                     \
    ::qwt::CheckFailed(#condition, __FILE__, __LINE__)

namespace qwt {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}  // namespace qwt
