#include "models/recorded_network.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr size_t kMostEntries = 4;  // a run has batches of one size and a last, smaller one

}  // namespace

absl::StatusOr<at::Tensor> RecordedNetwork::Run(const at::Tensor& images) {
  if (!images.is_cuda() || !records_) return RunGraph(*graph_, *executor_, images);
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return images.sizes() == entry.sizes; });
  if (found == entries_.end()) {
    QWT_ASSIGN_OR_RETURN(at::Tensor output, RunGraph(*graph_, *executor_, images));
    if (entries_.size() == kMostEntries) entries_.pop_back();
    entries_.insert(entries_.begin(), Entry{images.sizes().vec(), nullptr});
    return output;
  }
  std::rotate(entries_.begin(), found, found + 1);
  Entry& entry = entries_.front();
  if (entry.recording == nullptr) {
    auto recording = Record(images, [&](const at::Tensor& x) { return RunGraph(*graph_, *executor_, x); });
    if (!recording.ok()) {
      QWT_LOG(INFO) << graph_->name
                    << " is not recorded, its kernels are launched one by one: " << recording.status().message();
      records_ = false;
      entries_.clear();
      return RunGraph(*graph_, *executor_, images);
    }
    entry.recording = *std::move(recording);
  }
  at::Tensor output;
  QWT_RETURN_IF_ERROR(CatchExceptions(graph_->name, [&] {
    output = entry.recording->Replay(images).clone();
    return absl::OkStatus();
  }));
  return output;
}

int RecordedNetwork::recordings() const {
  return static_cast<int>(
      std::count_if(entries_.begin(), entries_.end(), [](const Entry& entry) { return entry.recording != nullptr; }));
}

}  // namespace qwt
