#include "quant/integer/product_weights.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/zeros.h"
#include "ATen/ops/zeros_like.h"
#include "core/base/status.h"
#include "quant/quantizer.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"

namespace qwt {
namespace {

constexpr int kMostEndCode = 255;

// end_code / end_multiplier ≈ end, with sums of the product up to `largest` and of the weights up to `weights`.
void SetEnds(double end, int64_t largest, int64_t weights, ProductWeights* result) {
  const int64_t room = std::numeric_limits<int32_t>::max() - kMostEndCode * weights;
  const int64_t most = std::max<int64_t>(1, room / std::max<int64_t>(1, largest));
  double best = std::abs(end);
  for (int code = 1; code <= kMostEndCode; ++code) {
    const auto multiplier = static_cast<int64_t>(std::nearbyint(code / end));
    if (multiplier == 0 || std::abs(multiplier) > most) continue;
    const double error = std::abs(static_cast<double>(code) / multiplier - end);
    if (error >= best) continue;
    best = error;
    result->end_code = code;
    result->end_multiplier = static_cast<int32_t>(multiplier);
  }
}

// Whole numbers of one output's weights.
struct Row {
  int64_t centre = 0, rest = 0;  // of the zero point: taken from the weights, and not
  int64_t sum = 0, absolute = 0;
};

Row SetWeights(const uint8_t* codes, int64_t depth, int64_t zero_point, int top, int8_t* weights) {
  Row row;
  row.centre = std::clamp<int64_t>(zero_point, top - 127, 128);
  row.rest = zero_point - row.centre;
  for (int64_t k = 0; k < depth; ++k) {
    weights[k] = static_cast<int8_t>(codes[k] - row.centre);
    row.sum += weights[k];
    row.absolute += std::abs(weights[k]);
  }
  return row;
}

}  // namespace

absl::StatusOr<ProductWeights> MakeProductWeights(const Node& node, const TensorMap& parameters, const QuantPlan& plan,
                                                  const Carrier& input) {
  QWT_ASSIGN_OR_RETURN(const at::Tensor found, FindWeight(node, parameters));
  const SiteQuantization& site = plan.at(WeightSite(node));
  QWT_ASSIGN_OR_RETURN(const std::unique_ptr<Quantizer> quantizer, MakeQuantizer(site.spec.quantizer));
  QWT_ASSIGN_OR_RETURN(const at::Tensor codes, quantizer->Codes(found.cpu(), site));
  ProductWeights result;
  result.columns = codes.size(0);
  result.depth = codes.numel() / codes.size(0);
  result.pitch = CodePitch(result.depth);
  result.weight = at::zeros({(result.columns + kWeightRows - 1) / kWeightRows * kWeightRows, result.pitch}, at::kChar);
  std::vector<Row> rows(result.columns);
  int64_t most = 1;
  const auto channel = [&](int64_t n) { return site.scale.numel() == 1 ? 0 : n; };
  for (int64_t n = 0; n < result.columns; ++n) {
    rows[n] = SetWeights(codes.data_ptr<uint8_t>() + n * result.depth, result.depth,
                         static_cast<int64_t>(site.zero_point.data_ptr<float>()[channel(n)]), (1 << site.spec.bits) - 1,
                         result.weight.data_ptr<int8_t>() + n * result.pitch);
    most = std::max(most, rows[n].absolute);
  }
  if (input.end != 0) SetEnds(input.end, static_cast<int64_t>(input.top) * most, most, &result);
  const at::TensorOptions floats(at::kFloat);
  result.scale = at::empty({result.columns}, floats);
  result.bias = at::zeros({result.columns}, floats);
  result.row_sum_scale = at::empty({result.columns}, floats);
  result.end_count_scale = at::empty({result.columns}, floats);
  if (!node.bias.empty()) result.bias.copy_(parameters.at(node.bias));
  bool row_sums = false;
  for (int64_t n = 0; n < result.columns; ++n) {
    const double scale = static_cast<double>(input.scale) * site.scale.data_ptr<float>()[channel(n)];
    const double constant = static_cast<double>(input.zero) * (rows[n].sum - result.depth * rows[n].rest);
    float* bias = result.bias.data_ptr<float>() + n;
    *bias = static_cast<float>(*bias - scale * constant);
    result.scale.data_ptr<float>()[n] = static_cast<float>(scale / result.end_multiplier);
    result.row_sum_scale.data_ptr<float>()[n] = static_cast<float>(-scale * rows[n].rest);
    result.end_count_scale.data_ptr<float>()[n] =
        static_cast<float>(-scale * rows[n].rest * result.end_code / result.end_multiplier);
    row_sums = row_sums || rows[n].rest != 0;
  }
  if (!row_sums) result.row_sum_scale = at::Tensor();
  if (!row_sums || result.end_code == 0) result.end_count_scale = at::Tensor();
  for (at::Tensor* tensor :
       {&result.weight, &result.scale, &result.bias, &result.row_sum_scale, &result.end_count_scale}) {
    if (tensor->defined()) *tensor = tensor->to(found.device());
  }
  if (result.end_code != 0 && result.weight.is_cpu()) {
    const at::Tensor used = result.weight.narrow(0, 0, result.columns).narrow(1, 0, result.depth);
    result.by_input = used.t().contiguous();
  }
  return result;
}

ProductWeights InSteps(const ProductWeights& weights, const std::vector<Carrier>& carriers) {
  std::vector<at::Tensor> factors;
  const int64_t width = weights.columns / static_cast<int64_t>(carriers.size());
  for (const Carrier& carrier : carriers) {
    factors.push_back(at::full({width}, carrier.inverse_scale, weights.scale.options()));
  }
  const at::Tensor factor = at::cat(factors);
  return Affine(weights, factor, at::zeros_like(factor));
}

ProductWeights Affine(const ProductWeights& weights, const at::Tensor& factor, const at::Tensor& shift) {
  ProductWeights result = weights;
  result.scale = weights.scale * factor;
  result.bias = weights.bias * factor + shift;
  if (weights.row_sum_scale.defined()) result.row_sum_scale = weights.row_sum_scale * factor;
  if (weights.end_count_scale.defined()) result.end_count_scale = weights.end_count_scale * factor;
  return result;
}

ProductWeights ByPixel(const ProductWeights& weights, int64_t channels, int64_t kernel) {
  const int64_t pixel = PixelPitch(channels), line = KernelLineBytes(kernel, pixel);
  const at::Tensor by_pixel = weights.weight.narrow(0, 0, weights.columns)
                                  .narrow(1, 0, weights.depth)
                                  .reshape({weights.columns, channels, kernel, kernel})
                                  .permute({0, 2, 3, 1});
  const int64_t rows = weights.weight.size(0);
  const at::Tensor lines = at::zeros({rows, kernel, line}, weights.weight.options());
  lines.narrow(0, 0, weights.columns)
      .narrow(2, 0, kernel * pixel)
      .unflatten(2, {kernel, pixel})
      .narrow(3, 0, channels)
      .copy_(by_pixel);
  ProductWeights result = weights;
  result.depth = result.pitch = kernel * line;
  result.weight = lines.view({rows, result.pitch});
  return result;
}

void ProductWeights::Set(ProductArguments* arguments) const {
  if (by_input.defined()) arguments->w_by_input = by_input.const_data_ptr<int8_t>();
  const auto pointer = [](const at::Tensor& x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; };
  arguments->columns = columns;
  arguments->depth = depth;
  arguments->w_pitch = pitch;
  arguments->w = weight.const_data_ptr<int8_t>();
  arguments->scale = pointer(scale);
  arguments->bias = pointer(bias);
  arguments->row_sum_scale = pointer(row_sum_scale);
  if (end_code == 0) return;
  arguments->ends_offset = CodePitch(depth);
  arguments->end_multiplier = end_multiplier;
  arguments->end_code = end_code;
  arguments->end_count_scale = pointer(end_count_scale);
}

}  // namespace qwt
