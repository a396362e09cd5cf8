// How long stages took in runs that left a folder, to estimate others.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace qwt {

class EarlierTimes {
 public:
  // Reads what runs left in a sweep's folder (absolute) and in the folders beside it, the newest counting.
  explicit EarlierTimes(const std::string& sweep_folder);

  // Of a stage that reads so many images with a model (its section of the config, as text); nothing where none is
  // known that was computed.
  std::optional<double> Seconds(const std::string& model, const std::string& stage, int64_t images) const;

 private:
  void Read(const std::string& run_folder);
  struct Time {
    int64_t written = 0;
    double seconds = 0;  // by the image where it reads images
  };
  std::map<std::pair<std::string, std::string>, Time> times_;  // by model and stage
};

}  // namespace qwt
