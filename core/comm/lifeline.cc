#include "core/comm/lifeline.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/lifeline_socket.h"

namespace qwt {
namespace {

constexpr std::chrono::seconds kGrace(5);  // from the news of an end to that of this process
constexpr char kKey[] = "lifeline";
constexpr int kFailed = 1, kInterrupted = 130;

std::string MakeSecret() {
  std::random_device random;
  return absl::StrFormat("%08x%08x", random(), random());
}

// Rank 0's connections to all others.
absl::StatusOr<std::map<int, int>> Serve(c10d::Store& store, const RankSettings& settings) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(settings.timeout_seconds);
  QWT_ASSIGN_OR_RETURN(const Listener listener, Listen());
  const std::string secret = MakeSecret();
  store.set(kKey, absl::StrCat(listener.port, " ", secret));
  const auto connections = AcceptRanks(listener.handle, settings.size, secret, deadline);
  close(listener.handle);
  QWT_RETURN_IF_ERROR(connections.status());
  std::map<int, int> peers;
  for (int rank = 1; rank < settings.size; ++rank) peers[rank] = (*connections)[rank - 1];
  return peers;
}

absl::StatusOr<std::map<int, int>> Reach(c10d::Store& store, const RankSettings& settings) {
  const std::vector<std::string> words = absl::StrSplit(store.get_to_str(kKey), ' ');
  QWT_CHECK(words.size() == 2);
  QWT_ASSIGN_OR_RETURN(const int handle,
                       ConnectTo(settings.master_address, std::stoi(words[0]), settings.rank, words[1]));
  return std::map<int, int>{{0, handle}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Lifeline>> Lifeline::Connect(c10d::Store& store, const RankSettings& settings) {
  QWT_ASSIGN_OR_RETURN(auto peers, settings.rank == 0 ? Serve(store, settings) : Reach(store, settings));
  return std::unique_ptr<Lifeline>(new Lifeline(settings, std::move(peers), eventfd(0, EFD_CLOEXEC)));
}

Lifeline::Lifeline(const RankSettings& settings, std::map<int, int> peers, int wake)
    : settings_(settings), peers_(std::move(peers)), wake_(wake), watcher_([this] { Watch(); }) {}

Lifeline::~Lifeline() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    gone_ = true;
  }
  changed_.notify_all();
  Wake();
  watcher_.join();
  for (const auto& [rank, handle] : peers_) close(handle);
  close(wake_);
}

void Lifeline::Wake() {
  const uint64_t one = 1;
  QWT_CHECK(write(wake_, &one, sizeof(one)) == sizeof(one));
}

void Lifeline::Leave(const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (std::exchange(left_, true)) return;
  // Whoever ends because another rank did has nothing to add: the others have heard of that one.
  const absl::Status word = news_.ok() ? status : absl::OkStatus();
  for (const auto& [rank, handle] : peers_) SendLastWord(handle, {settings_.rank, word});
  if (ended_.ok()) ended_ = status;
  Wake();
}

absl::Status Lifeline::News(std::chrono::milliseconds patience) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, patience, [this] { return !news_.ok(); });
  return news_;
}

void Lifeline::Watch() {
  Listen();
  std::unique_lock<std::mutex> lock(mutex_);
  if (ended_.ok() || changed_.wait_for(lock, kGrace, [this] { return gone_; })) return;
  // It is in something long, or waits for the rank that is gone. Every stored value is whole at any time.
  const bool interrupted = absl::IsCancelled(ended_);
  if (!interrupted && !left_) {
    absl::FPrintF(stderr, "error (rank %d): %s\n", settings_.rank, std::string(ended_.message()));
  }
  std::fflush(nullptr);
  _exit(interrupted ? kInterrupted : kFailed);
}

void Lifeline::Listen() {
  while (true) {
    std::vector<pollfd> polled = {{wake_, POLLIN, 0}};
    std::vector<int> ranks = {-1};
    for (const auto& [rank, handle] : peers_) {
      polled.push_back({handle, POLLIN, 0});
      ranks.push_back(rank);
    }
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    for (size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      const auto word =
          ReceiveLastWord(polled[i].fd)
              .value_or(LastWord{ranks[i], absl::UnavailableError(
                                               "without a word: it was killed or crashed, or its machine is gone")});
      if (!word.status.ok()) return Hear(word.rank, word.status);
      std::lock_guard<std::mutex> lock(mutex_);  // Leave may be sending
      close(polled[i].fd);
      peers_.erase(ranks[i]);
    }
  }
}

void Lifeline::Hear(int rank, const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (left_) return;
  for (const auto& [peer, handle] : peers_) {
    if (peer != rank && settings_.rank == 0) SendLastWord(handle, {rank, status});
  }
  news_ = ended_ = absl::IsCancelled(status)
                       ? absl::CancelledError("interrupted")
                       : absl::UnavailableError(absl::StrCat("rank ", rank, " has ended: ", status.message()));
  StopWork(news_);
  changed_.notify_all();
}

}  // namespace qwt
