// How a site's codes are carried as uint8 (kernels/kernels.h says what a carrier is).
#pragma once

#include <optional>

#include "quant/integer/kernels/kernels.h"
#include "quant/plan.h"

namespace qwt {

// Of a uniform site with one scale; none for any other.
std::optional<Carrier> MakeCarrier(const SiteQuantization& site);

}  // namespace qwt
