// compare_tensors A B: how far apart the tensors of two safetensors files are, as one JSON object: "tensors", how many
// are in both; "only", the names in one alone or of another shape; "largest", the largest |a - b| / max(1, largest |a|
// of the tensor); "where", that tensor's name; "differing", the share of values that differ in tensors of integers.
// Exit code 0 where it could compare.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ATen/TensorOperators.h"
#include "ATen/ops/ne.h"
#include "core/tensor/safetensors.h"

namespace qwt {
namespace {

struct Difference {
  int64_t tensors = 0, integers = 0, differing = 0;
  std::vector<std::string> only;
  double largest = 0;
  std::string where;
};

void CompareTensor(const std::string& name, const at::Tensor& a, const at::Tensor& b, Difference* difference) {
  ++difference->tensors;
  if (a.numel() == 0) return;
  if (!a.is_floating_point()) {
    difference->integers += a.numel();
    difference->differing += a.ne(b).sum().item<int64_t>();
    return;
  }
  const at::Tensor exact = a.to(at::kDouble);
  const double scale = std::max(1.0, exact.abs().max().item<double>());
  const double distance = (exact - b.to(at::kDouble)).abs().max().item<double>() / scale;
  if (distance <= difference->largest) return;  // a NaN counts as the largest
  difference->largest = distance;
  difference->where = name;
}

Difference Compare(const TensorMap& a, const TensorMap& b) {
  Difference difference;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.sizes() != tensor.sizes()) {
      difference.only.push_back(name);
    } else {
      CompareTensor(name, tensor, other->second, &difference);
    }
  }
  for (const auto& [name, tensor] : b) {
    if (a.count(name) == 0) difference.only.push_back(name);
  }
  return difference;
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: compare_tensors A.safetensors B.safetensors" << std::endl;
    return 2;
  }
  const auto a = qwt::ReadSafetensors(argv[1]), b = qwt::ReadSafetensors(argv[2]);
  for (const auto* file : {&a, &b}) {
    if (file->ok()) continue;
    std::cerr << "compare_tensors: " << file->status().message() << std::endl;
    return 1;
  }
  const qwt::Difference difference = qwt::Compare(a->tensors, b->tensors);
  std::cout << nlohmann::ordered_json({{"tensors", difference.tensors},
                                       {"only", difference.only},
                                       {"largest", difference.largest},
                                       {"where", difference.where},
                                       {"integers", difference.integers},
                                       {"differing", difference.differing}})
            << std::endl;
  return 0;
}
