#include "quant/share_plan.h"

#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/zeros.h"
#include "core/base/log.h"
#include "core/base/status.h"

namespace qwt {

absl::Status SharePlan(const QuantSpecs& specs, QuantPlan* plan, Communicator& comm) {
  if (comm.size() == 1) return absl::OkStatus();
  at::Tensor sizes = at::zeros({static_cast<int64_t>(specs.size())}, at::kLong);  // scales of each site
  at::Tensor values;  // of each site its scales, then its zero points
  int64_t* size = sizes.mutable_data_ptr<int64_t>();
  if (comm.rank() == 0) {
    QWT_CHECK(plan->size() == specs.size());
    std::vector<at::Tensor> parts;
    for (const auto& [site, quantization] : *plan) {
      QWT_CHECK(specs.count(site) > 0);
      *size++ = quantization.scale.numel();
      parts.insert(parts.end(), {quantization.scale, quantization.zero_point});
    }
    values = at::cat(parts);
  }
  QWT_RETURN_IF_ERROR(comm.Broadcast(sizes, 0));
  if (comm.rank() > 0) values = at::zeros({2 * sizes.sum().item<int64_t>()}, at::kFloat);
  QWT_RETURN_IF_ERROR(comm.Broadcast(values, 0));
  if (comm.rank() == 0) return absl::OkStatus();
  plan->clear();
  int64_t first = 0;
  for (const auto& [site, spec] : specs) {
    (*plan)[site] = {spec, values.narrow(0, first, *size).clone(), values.narrow(0, first + *size, *size).clone()};
    first += 2 * *size++;
  }
  return absl::OkStatus();
}

}  // namespace qwt
