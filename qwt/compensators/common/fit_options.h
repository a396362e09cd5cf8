// What the fitted compensators share of their options: where, how strongly and whether a block is compensated, and
// which of the fit's images are kept aside to decide that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "c10/core/ScalarType.h"
#include "core/config/schema.h"

namespace qwt {

enum class Gate { kInSample, kHeldOut, kAlways };

struct FitOptions {
  int64_t start_block = 0;
  double ridge = 0;
  Gate gate = Gate::kInSample;
  double held_out_fraction = 0.25;
  at::ScalarType storage = at::kHalf;

  // Whether the image at this position of the fit's list is one of those that kHeldOut keeps aside:
  // floor((position + 1) f) > floor(position f), spread evenly and known to every rank without a word. Under every gate
  // they are summed apart, so that gates share their sums.
  bool HeldOut(int64_t position) const;
  // InvalidArgument where none of so many images would be kept aside, or all of them, as the gate needs both.
  absl::Status CheckImages(int64_t images) const;
  // What of these a block's sums depend on.
  std::string SumsText() const;
};

// start_block, ridge with the given default and reason, gate, held_out_fraction, storage.
std::vector<Option> FitOptionList(const std::string& default_ridge, const std::string& about_ridge);
FitOptions ReadFitOptions(const Options& options);

// What the gate looks at.
struct GateFigures {
  int index = 0;                                   // of the block
  bool storable = false;                           // whether the weights as stored are finite
  double total_squares = 0;                        // Σ (R − mean R)² of the images fitted to
  double r2 = 0;                                   // with the weights as stored
  double exact_r2 = 0;                             // before they were rounded to be stored
  double held_out_before = 0, held_out_after = 0;  // mean squared error of the images kept aside
};

// Why the solution is not used; "" if it is.
std::string WhyNotKept(const FitOptions& options, const GateFigures& figures);

}  // namespace qwt
