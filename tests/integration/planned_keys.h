// What a config would be stored under, without running it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "pipelines/planner.h"

namespace qwt {

struct PlannedKeys {
  absl::Status status;
  // Keys' texts, by what they are of: calibrate, quantize, fit, sums and values (of the fit), diagnose, and of evaluate
  // float, quantized, compensated.
  std::map<std::string, std::string> keys;
  std::string hash;  // PlanHash
  Request request;
};

PlannedKeys KeysOf(const std::string& yaml, const std::vector<std::string>& overrides = {},
                   const Placement& placement = {});

// What of that which both make has another key.
std::set<std::string> Changed(const PlannedKeys& before, const PlannedKeys& after);

// Everything; all but the float model's evaluation; what is made of the fit's images and after that; what the
// compensation is in.
std::set<std::string> AllKeys();
std::set<std::string> AfterCalibrate();
std::set<std::string> OfFitImages();
std::set<std::string> AfterFit();

// A config of every stage on a tiny network; nothing of it is drawn at random but the images of diagnose.
struct KeysConfig {
  std::string model =
      "{name: vit, image: 32, patch: 8, width: 16, depth: 2, heads: 2, classes: 10, weights: " + WeightsFile() + "}";
  std::string dataset = "{name: generated, preset: deit, side: 40, classes: 10, images: 40, train_images: 40}";
  std::string method = "minmax";
  std::string compensator = "linear";

  std::string Yaml() const;
  static std::string WeightsFile();  // no weights: planning reads its bytes alone
};

// A folder with Fashion-MNIST's four files, 40 images each, all of one grey value and label.
std::string IdxFolder(const std::string& name, char grey);

// Options that the schemas declare to have no effect on a result, each with a value that is not the default and may
// change nothing.
std::map<std::string, std::string> OptionsWithoutEffect();

}  // namespace qwt
