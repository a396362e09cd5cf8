// What quantisation costs a network, and where: the noise of every site, each block's error and how errors grow with
// depth, measured on images that nothing was fitted to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "qwt/quantized_model.h"

namespace qwt {

// How a site's values lie on the grid of its codes. Positions are in steps, 0 for the first code, so that one histogram
// shows all channels, each on its own scale.
struct GridHistogram {
  double low = 0, high = 0;         // outer edges of the bins, steps; wider than the codes by a quarter on either side
  std::vector<int64_t> counts;      // kHistogramBins of equal width
  int64_t below = 0, above = 0;     // values beyond them
  std::vector<double> grid;         // positions of the codes, increasing; of a few of them where there are many
  std::vector<double> grid_values;  // what these codes stand for; empty where every channel has a scale of its own
};
inline constexpr int kHistogramBins = 64;

// One site. x: its values in the float network as the method rewrote it, x̂: these quantised.
struct SiteNoise {
  std::string site;     // "blocks.3.mlp.fc2.input"
  std::string segment;  // "blocks.3"
  std::string kind;     // "mlp.fc2.input": what a site of another block is compared with
  bool weight = false;
  int bits = 0;
  int levels = 0;                 // codes
  std::optional<double> sqnr_db;  // 10 log10(Σ x² / Σ (x - x̂)²); none: no error, or nothing but zeros
  double clipped = 0;             // share of the values more than half a step outside the codes
  std::optional<GridHistogram> histogram;
};

// A segment's output, y in float. Errors are means over its values of all images.
struct SegmentError {
  std::string segment;                    // "stem", "blocks.0", …, "head" (logits); with transitions
  bool block = false;                     // one that can be compensated
  double signal = 0;                      // mean y²
  double mse_alone = 0;                   // of this segment quantised, its input in float
  double mse_quantized = 0;               // of the network quantised up to here
  std::optional<double> mse_compensated;  // and compensated, where the model is
};

struct Diagnosis {
  int64_t images = 0;
  std::vector<SegmentError> segments;  // as they run
  std::vector<SiteNoise> sites;        // as they run. Histograms: the noisiest of each kind, of kShownInputs kinds of
                                       // activations and kShownWeights of weights
};
inline constexpr int kShownInputs = 6, kShownWeights = 3;

// batches: this rank's share of the images, each float32 [N, C, h, w] on `device`, N > 0. All ranks get the same
// figures, however batches are shared. The model's parameters must be those in float: a saved model's are quantised
// already. `known`: what was found of the same network and images with no or another compensation; then only the
// compensation's errors are measured, the rest is taken from there, with the same result to the last bit.
// InvalidArgument where no rank has an image or the network's values are not finite.
absl::StatusOr<Diagnosis> Diagnose(const QuantizedModel& model, const std::vector<at::Tensor>& batches,
                                   Communicator& comm, int threads, at::Device device = at::kCPU,
                                   const Diagnosis* known = nullptr);

// 10 log10(signal / noise); none where either is 0.
std::optional<double> SqnrDb(double signal, double noise);

// The block that loses most by itself, and its noisiest site; null where there is none with any error.
const SegmentError* WorstBlock(const Diagnosis& diagnosis);
const SiteNoise* WorstSite(const Diagnosis& diagnosis, const std::string& segment);
// What compensation takes off the logits' squared error, as a share; negative where it adds to it; none where the model
// has no compensation or no error.
std::optional<double> WonBack(const Diagnosis& diagnosis);

// "Most is lost in blocks.3 (12.1 dB), there at mlp.fc2's input (14.2 dB); compensation wins back 61 % of the logits'
// squared error on 32 images it was not fitted to."
std::string DiagnosisSentence(const Diagnosis& diagnosis);

}  // namespace qwt
