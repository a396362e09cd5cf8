// A saved quantised model as figures: what //models:inspect prints of a model.safetensors (docs/inspect.md).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "qwt/quantized_model.h"

namespace qwt {

struct SavedModel {
  QuantizedModel model;
  int64_t file_bytes = 0;
};

// As LoadQuantizedModel.
absl::StatusOr<SavedModel> OpenSavedModel(const std::string& path);

// Where it comes from, what it takes, its compensation by block and its sites: for a terminal, and as JSON.
std::string SavedModelToText(const SavedModel& saved);
std::string SavedModelToJson(const SavedModel& saved);

}  // namespace qwt
