// A product of a segment's input that is added to its output, as QwT's compensation is.
#pragma once

#include <map>
#include <string>

#include "ATen/core/Tensor.h"

namespace qwt {

// Output + x · weight + bias, the product of float16 operands rounded to float16 (algorithms section 5). Of images it
// is a group convolution, padded by k / 2, of the stride that makes the output's size of the input's.
struct AddedProduct {
  at::Tensor weight;  // float16 [C, C'] of tokens, [C', C / groups, k, k] of images
  at::Tensor bias;    // float32 [C']
};
using AddedProducts = std::map<std::string, AddedProduct>;  // by segment

}  // namespace qwt
