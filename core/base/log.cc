#include "core/base/log.h"

#include <glog/logging.h>

#include <cstdio>
#include <fstream>
#include <mutex>

namespace qwt {
namespace {

// Appends each line to run.log as it comes, so that a killed run leaves what it said.
class FileSink : public google::LogSink {
 public:
  void Open(const std::string& path) {
    std::lock_guard<std::mutex> lock(mutex_);
    file_.close();
    file_.clear();
    if (!path.empty()) file_.open(path, std::ios::app);
  }
  void send(google::LogSeverity severity, const char*, const char* base_filename, int line, const struct tm* time,
            const char* message, size_t message_length) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!file_.is_open()) return;
    char stamp[32];
    std::strftime(stamp, sizeof(stamp), "%F %T", time);
    file_ << stamp << ' ' << google::GetLogSeverityName(severity)[0] << ' ' << base_filename << ':' << line << ' ';
    file_.write(message, message_length) << std::endl;
  }

 private:
  std::mutex mutex_;
  std::ofstream file_;
};

FileSink& Sink() {
  static FileSink* sink = [] {
    auto* created = new FileSink;
    google::AddLogSink(created);
    return created;
  }();
  return *sink;
}

int log_rank = -1;

}  // namespace

LogMessage::~LogMessage() {
  static constexpr google::LogSeverity kSeverities[] = {google::GLOG_INFO, google::GLOG_WARNING, google::GLOG_ERROR};
  google::LogMessage message(file_, line_, kSeverities[static_cast<int>(severity_)]);
  if (log_rank >= 0) message.stream() << "[rank " << log_rank << "] ";
  message.stream() << stream_.str();
}

void InitLogging(const char* program) {
  static const std::string kept = program;  // glog keeps the pointer
  FLAGS_logtostderr = false;
  FLAGS_stderrthreshold = google::GLOG_WARNING;
  for (int severity = 0; severity < google::NUM_SEVERITIES; ++severity) google::SetLogDestination(severity, "");
  google::InitGoogleLogging(kept.c_str());
}

void SetLogFile(const std::string& path) { Sink().Open(path); }

void SetLogRank(int rank) { log_rank = rank; }

void CheckFailed(const char* condition, const char* file, int line) {
  google::LogMessage(file, line, google::GLOG_FATAL).stream() << "broken invariant: " << condition;
  std::abort();
}

}  // namespace qwt
