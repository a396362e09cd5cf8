// A run's outcome: one value, written as result.json and printed as a table.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/version.h"
#include "pipelines/statistics.h"
#include "pipelines/values.h"

namespace qwt {

struct StageRecord {
  std::string name;
  double seconds = 0;
  bool cached = false;
  int64_t images = 0;                // that it read
  int64_t forward_images = 0;        // that ran through the network, once for each model
  int64_t peak_bytes = 0;            // resident memory of rank 0
  int64_t gpu_peak_bytes = 0;        // tensors on rank 0's GPU; 0 where it has none
  double load_seconds = 0;           // of `seconds`, how long rank 0 waited for images to be decoded
  double transfer_seconds = 0;       // and how long for decoded images to arrive on its GPU
  std::string images_sha256;         // fingerprint of the images it was asked to read; "" where it reads none
  std::vector<std::string> skipped;  // names of those that could not be decoded and were left out
};

struct ModelScore {
  int64_t images = 0;
  double top1 = 0, top5 = 0;           // %
  double top1_low = 0, top1_high = 0;  // %, Wilson 95 %
  double images_per_second = 0;
  std::optional<double> logits_mse = std::nullopt;  // to the float model, over all images and classes
};

// Two models on the same images.
struct Comparison {
  std::string first = "", second = "";
  int64_t only_first = 0, only_second = 0;  // images that only this one gets right
  McNemar test = {};
};

std::string LibTorchVersion();  // this program's: "2.11.0"

// What a publication reports of the same setting.
struct ExpectedScores {
  std::map<std::string, double> top1;  // %, by model; empty: nothing is expected
  double tolerance = 0;                // points
};

struct RunResult {
  std::string name;
  absl::Status status;
  std::string config_sha256;
  std::string plan_sha256;                   // PlanHash
  std::vector<std::string> models;           // those evaluated, in the order asked for
  std::map<std::string, ModelScore> scores;  // by model
  std::vector<Comparison> comparisons;       // of every two models
  ExpectedScores expected;
  std::map<std::string, double> size_mb;  // by model
  std::vector<BlockSolution> blocks;
  std::optional<Diagnosis> diagnosis = std::nullopt;
  std::vector<StageRecord> stages;
  int ranks = 1, threads = 1;
  std::string device = "cpu";
  std::string version = kVersion, libtorch = LibTorchVersion();  // that computed it
};

// Points above what is expected of the model; nothing where nothing is.
std::optional<double> AboveExpected(const RunResult& result, const std::string& model);

// "1.2e-05", "0.31".
std::string ProbabilityText(double p);

// Scores, sizes and blocks of what the stages made.
void AddValues(const Values& values, RunResult* result);

std::string ResultToJson(const RunResult& result);  // schema 1; docs/reports.md has every field
// DataLoss where it is no result of schema 1, saying what is wrong. Figures come back as rounded as they are written;
// what a block's solution holds beside its figures does not.
absl::StatusOr<RunResult> ResultFromJson(const std::string& json);
std::string ResultToTable(const RunResult& result);  // "" where nothing was evaluated

}  // namespace qwt
