#include "pipelines/cache_budget.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/byte_count.h"
#include "core/tensor/device.h"

namespace qwt {
namespace {

constexpr char kDeviceBytes[] = "cache_bytes", kHostBytes[] = "host_cache_bytes", kStoreBytes[] = "stored_cache_bytes";

}  // namespace

std::vector<Option> CacheOptions() {
  return {Option::String(kDeviceBytes,
                         "Memory of a rank for the values of the fit's images between two blocks, where it computes: "
                         "auto (half of what is free) or a size as 20GB. What it does not hold moves on, the least "
                         "recently used first: from a GPU to page-locked memory, then to a file beside the store.")
              .Default("auto")
              .NoEffectOnResult(),
          Option::String(kHostBytes,
                         "The same in page-locked memory, for a rank that computes on a GPU: auto (a quarter of what "
                         "is free, shared among the ranks) or a size.")
              .Default("auto")
              .NoEffectOnResult(),
          Option::String(kStoreBytes,
                         "How much of the store a run may fill with such values for others to take up: the same fit "
                         "after it was stopped, and fits that sum other things over them. The least recently used go "
                         "first. auto: nothing, unless //experiments:sweep finds that it saves time; or a size.")
              .Default("auto")
              .NoEffectOnResult()};
}

void CheckCacheOptions(const Options& runtime, Problems* problems) {
  for (const char* option : {kDeviceBytes, kHostBytes, kStoreBytes}) {
    const std::string& text = runtime.String(option);
    if (ParseBytes(text).has_value() || text == "auto") continue;
    problems->Add(runtime.Where(option), absl::StrCat("must be auto or a size as 20GB, 500MB or 0, is '", text, "'"));
  }
}

CacheBudget ResolveCacheBudget(const Options& runtime, at::Device device, int world_size) {
  CacheBudget budget;
  const auto host = [&](int part) { return AvailableMemoryBytes() / part / world_size; };
  const auto given = [&](const char* option) { return ParseBytes(runtime.String(option)); };
  if (device.is_cpu()) {
    const auto bytes = given(kDeviceBytes);
    budget.device_bytes = bytes.has_value() ? *bytes : host(2);
  } else {
    const auto bytes = given(kDeviceBytes), host_bytes = given(kHostBytes);
    budget.device_bytes = bytes.has_value() ? *bytes : FreeBytes(device) / 2;
    budget.host_bytes = host_bytes.has_value() ? *host_bytes : host(4);
  }
  budget.store_bytes = given(kStoreBytes).value_or(0);
  return budget;
}

int64_t FileBytes(int64_t bytes, const CacheBudget& budget) {
  return std::max<int64_t>(0, bytes - budget.device_bytes - budget.host_bytes);
}

std::string DescribePlacement(int64_t bytes, const CacheBudget& budget, at::Device device) {
  const int64_t on_device = std::min(bytes, budget.device_bytes), in_files = FileBytes(bytes, budget);
  const int64_t on_host = bytes - on_device - in_files;
  const std::string memory = device.is_cpu() ? " in memory" : " on the GPU";
  std::string text = FormatBytes(bytes);
  if (on_device == bytes) {
    absl::StrAppend(&text, ", all", memory);
  } else {
    std::vector<std::string> parts;
    if (on_device > 0) parts.push_back(FormatBytes(on_device) + memory);
    if (on_host > 0) parts.push_back(FormatBytes(on_host) + " in page-locked memory");
    if (in_files > 0) parts.push_back(FormatBytes(in_files) + " in a file beside the store");
    absl::StrAppend(&text, ": ", absl::StrJoin(parts, ", "));
  }
  if (budget.store_bytes > 0) {
    absl::StrAppend(&text, "; up to ", FormatBytes(budget.store_bytes),
                    " of the store keep such values for other runs");
  }
  return text;
}

}  // namespace qwt
