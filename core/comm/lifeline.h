// Tells every rank at once when another has ended, also while it computes and waits in no collective.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/rank_settings.h"
#include "torch/csrc/distributed/c10d/Store.hpp"

namespace qwt {

// A TCP connection of each rank to rank 0, which passes on what it hears. A rank says there how it ends; one that is
// killed has its connection closed by the kernel, without a word. One that is paused or hung keeps it, and is not taken
// for dead: that is what the timeouts of collectives are for. A machine that has vanished is noticed after half a
// minute.
//
// A rank that hears of an end stops its own work (StopWork), so that it ends as after any failure: what is stored
// stays, the result says why. If it has not left within five seconds, the lifeline says why on stderr and ends the
// process.
class Lifeline {
 public:
  // Returns when every rank holds on to it. Throws what c10d does if the store fails; Unavailable where a rank is not
  // there within the timeout.
  static absl::StatusOr<std::unique_ptr<Lifeline>> Connect(c10d::Store& store, const RankSettings& settings);
  // Without Leave before, the others hear that this rank has ended without a word.
  ~Lifeline();

  // The last word of this rank: OK where all is done, otherwise why it ends. From here on it hears nothing.
  void Leave(const absl::Status& status);
  // What was heard within `patience`: "rank 2 has ended: fit: …", or Cancelled where that was an interrupt; OK for
  // nothing.
  absl::Status News(std::chrono::milliseconds patience);

 private:
  Lifeline(const RankSettings& settings, std::map<int, int> peers, int wake);
  void Watch();                                     // the thread: listens, then sees to the end of the process
  void Listen();                                    // returns at the first news, or when woken
  void Hear(int rank, const absl::Status& status);  // passes it on and stops the work
  void Wake();

  const RankSettings settings_;
  std::map<int, int> peers_;  // rank -> connection; rank 0 has one to each, the others to rank 0
  const int wake_;            // an eventfd: ends Watch
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status news_;   // what was heard
  absl::Status ended_;  // why this process is to end: news_, or what Leave was given
  bool left_ = false, gone_ = false;
  std::thread watcher_;
};

}  // namespace qwt
