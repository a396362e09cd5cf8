#include "qwt/compensators/common/fit_options.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace qwt {

bool FitOptions::HeldOut(int64_t position) const {
  return std::floor((position + 1) * held_out_fraction) > std::floor(position * held_out_fraction);
}

absl::Status FitOptions::CheckImages(int64_t images) const {
  if (gate != Gate::kHeldOut) return absl::OkStatus();
  const int64_t held_out = static_cast<int64_t>(std::floor(images * held_out_fraction));
  if (held_out > 0 && held_out < images) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("gate: held_out keeps ", held_out, " of ", images, " fit image",
                                                 images == 1 ? "" : "s", " aside with held_out_fraction ",
                                                 held_out_fraction, "; take more images or another fraction"));
}

std::string FitOptions::SumsText() const { return absl::StrCat("held_out_fraction ", held_out_fraction); }

std::vector<Option> FitOptionList(const std::string& default_ridge, const std::string& about_ridge) {
  return {
      Option::Int("start_block", "Blocks before this one stay uncompensated; as published, none.")
          .Range(0, 1000)
          .Default("0"),
      Option::Double("ridge", about_ridge).Range(0, 1e12).Default(default_ridge),
      Option::String("gate",
                     "Which blocks' compensation is used. in_sample: where R² is above 0 on the images it was fitted "
                     "to, as published. held_out: where it lowers the squared error of fit images kept aside, which "
                     "also refuses what explains only its own images. always: every one whose weights can be stored.")
          .OneOf({"in_sample", "held_out", "always"})
          .Default("in_sample"),
      Option::Double("held_out_fraction",
                     "The part of the fit images that gate: held_out keeps aside, spread evenly over their list and "
                     "not fitted to; no other gate keeps any. A quarter of 512 images still leaves more tokens to fit "
                     "to than there are channels.")
          .Range(0.01, 0.9)
          .Default("0.25"),
      Option::String("storage",
                     "How W is stored and X·W computed: float16, as published, halves its size; float32 holds what "
                     "float16 rounds away or cannot hold.")
          .OneOf({"float16", "float32"})
          .Default("float16")};
}

FitOptions ReadFitOptions(const Options& options) {
  FitOptions result;
  result.start_block = options.Int("start_block");
  result.ridge = options.Double("ridge");
  const std::string& gate = options.String("gate");
  result.gate = gate == "held_out" ? Gate::kHeldOut : gate == "always" ? Gate::kAlways : Gate::kInSample;
  result.held_out_fraction = options.Double("held_out_fraction");
  result.storage = options.String("storage") == "float16" ? at::kHalf : at::kFloat;
  return result;
}

std::string WhyNotKept(const FitOptions& options, const GateFigures& figures) {
  if (figures.index < options.start_block) return absl::StrCat("before start_block ", options.start_block);
  if (!figures.storable) return "the weights are too large for float16; storage: float32 holds them";
  if (options.gate == Gate::kAlways) return "";
  if (figures.total_squares == 0) return "the quantisation error does not vary";
  if (options.gate == Gate::kHeldOut) {
    if (figures.held_out_after < figures.held_out_before) return "";
    return absl::StrCat("the held-out images' mean squared error does not fall: ", figures.held_out_before, " before, ",
                        figures.held_out_after, " after");
  }
  if (figures.r2 > 0) return "";
  if (figures.exact_r2 > 0) {
    return absl::StrCat("R² is ", figures.r2, " once the weights are rounded to float16 (", figures.exact_r2,
                        " before); storage: float32 keeps it");
  }
  return absl::StrCat("R² is ", figures.r2);
}

}  // namespace qwt
