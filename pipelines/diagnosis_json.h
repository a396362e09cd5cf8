// A diagnosis as JSON, as result.json and the store keep it; docs/reports.md has every field.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "qwt/diagnosis.h"

namespace qwt {

// Doubles come back to the last bit.
std::string DiagnosisToJson(const Diagnosis& diagnosis);
// DataLoss where it is no diagnosis, saying what is wrong.
absl::StatusOr<Diagnosis> DiagnosisFromJson(const std::string& json);

}  // namespace qwt
