#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/tensor/copy.h"

namespace qwt {
namespace {

constexpr int64_t kMostElements = 4096;  // that are converted, or read one by one

int64_t things_checked = 0;

// Fuzzers and sanitizers look for programs that abort.
void Require(bool holds, absl::string_view name, absl::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "BROKEN: '%s': %s\n", std::string(name).c_str(), std::string(what).c_str());
  std::abort();
}

std::string Describe(const at::Tensor& tensor) {
  return absl::StrCat(c10::toString(tensor.scalar_type()), " [", absl::StrJoin(tensor.sizes(), ", "), "] with strides ",
                      absl::StrJoin(tensor.strides(), ", "), ", offset ", tensor.storage_offset(), " in ",
                      tensor.storage().nbytes(), " bytes");
}

// The bytes from the storage's begin to the end of the tensor's last element; false where 64 bits cannot count them.
bool EndBytes(const at::Tensor& tensor, uint64_t* end) {
  uint64_t elements = tensor.storage_offset() + uint64_t{1};
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    uint64_t steps;
    if (__builtin_mul_overflow(uint64_t(tensor.size(d)) - 1, uint64_t(tensor.stride(d)), &steps)) return false;
    if (__builtin_add_overflow(elements, steps, &elements)) return false;
  }
  return !__builtin_mul_overflow(elements, uint64_t(tensor.element_size()), end);
}

// Elements spread over the whole, the first and the last among them, found by their indices and the strides.
void ReadElements(const at::Tensor& tensor) {
  const char* data = static_cast<const char*>(tensor.const_data_ptr());
  const size_t element_bytes = tensor.element_size();
  const int64_t step = std::max<int64_t>(1, tensor.numel() / kMostElements);
  auto read = [&](int64_t flat) {
    int64_t offset = 0;
    for (int64_t d = tensor.dim(); d-- > 0; flat /= tensor.size(d)) offset += flat % tensor.size(d) * tensor.stride(d);
    CheckBytes({data + offset * element_bytes, element_bytes});
  };
  for (int64_t flat = 0; flat < tensor.numel(); flat += step) {
    read(flat);
    if (step > tensor.numel() - flat) break;  // flat + step may be more than 64 bits hold
  }
  read(tensor.numel() - 1);
}

void CheckTensor(const std::string& name, const at::Tensor& tensor, const std::vector<absl::string_view>& parts) {
  Require(tensor.defined(), name, "is undefined");
  Require(tensor.device().is_cpu() && tensor.layout() == at::kStrided, name, "is no dense tensor on the CPU");
  const std::string what = Describe(tensor);
  Require(std::all_of(tensor.sizes().begin(), tensor.sizes().end(), [](int64_t n) { return n >= 0; }) &&
              std::all_of(tensor.strides().begin(), tensor.strides().end(), [](int64_t n) { return n >= 0; }) &&
              tensor.storage_offset() >= 0,
          name, what + ": less than nothing");
  if (tensor.numel() == 0) return;
  uint64_t end = 0;
  Require(EndBytes(tensor, &end) && end <= tensor.storage().nbytes(), name, what + ": ends past its storage");
  const char* storage = static_cast<const char*>(tensor.storage().data());
  for (absl::string_view part : parts) {
    const bool in_part = std::greater_equal<>()(storage, part.begin()) && std::less<>()(storage, part.end());
    Require(!in_part || end <= uint64_t(part.end() - storage), name, what + ": ends past its part of the file");
  }
  ReadElements(tensor);
  if (tensor.numel() > kMostElements) return;
  const absl::Status converted = CatchExceptions("to float32", [&] {
    const at::Tensor copy = AlignedCopy(tensor).to(at::kFloat);
    return copy.numel() == tensor.numel() ? absl::OkStatus() : absl::InternalError("other numel");
  });
  Require(converted.ok(), name, absl::StrCat(what, ": ", converted.ToString()));
}

}  // namespace

void CheckStatus(const absl::Status& status) {
  if (status.ok()) return;
  Require(status.code() == absl::StatusCode::kDataLoss && absl::StartsWith(status.message(), kFuzzedPath), "the status",
          status.ToString());
}

void CheckBytes(absl::string_view bytes) {
  static volatile unsigned char sum = 0;
  unsigned char local = 0;
  for (char byte : bytes) local ^= static_cast<unsigned char>(byte);
  sum = sum ^ local;
  ++things_checked;
}

void CheckTensors(const TensorMap& tensors, const std::vector<absl::string_view>& parts) {
  for (const auto& [name, tensor] : tensors) {
    CheckTensor(name, tensor, parts);
    ++things_checked;
  }
}

int64_t ThingsChecked() { return things_checked; }

}  // namespace qwt
