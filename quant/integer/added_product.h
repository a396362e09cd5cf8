// A product of a segment's input that is added to its output, as QwT's linear compensation is.
#pragma once

#include <map>
#include <string>

#include "ATen/core/Tensor.h"

namespace qwt {

// Output + x · weight + bias, the product of float16 operands rounded to float16 (algorithms section 5).
struct AddedProduct {
  at::Tensor weight;  // float16 [C, C']
  at::Tensor bias;    // float32 [C']
};
using AddedProducts = std::map<std::string, AddedProduct>;  // by segment

}  // namespace qwt
