// Images a second of a saved model's forward passes: float, quantised, quantised and compensated. The images are random
// and lie on the device already; each time is the median of repeats that were waited for. ratio: the time against that
// of the float pass of the same batch in the same run.
#include <torch/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ATen/ops/rand.h"
#include "absl/strings/str_format.h"
#include "c10/core/InferenceMode.h"
#include "c10/core/impl/VirtualGuardImpl.h"
#include "core/base/files.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "models/executor.h"
#include "qwt/quantized_model.h"

namespace qwt {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr int kWarmUps = 2, kFewestRepeats = 3;

struct Arguments {
  std::string file, device = "auto", json;
  std::vector<int64_t> batches = {32, 128, 256};
  std::vector<std::string> models = {"float", "quantized", "compensated"};
  double seconds = 2;
};

struct Timing {
  double seconds = 0;  // of one batch
  int repeats = 0;
  int64_t peak_bytes = 0;  // on a GPU
};

void Wait(at::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

// parameters: the model's, on the device.
absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const std::string& which, const QuantizedModel& model,
                                                       const TensorMap& parameters, at::Device device) {
  if (which == "float") return MakeFloatExecutor(parameters);
  const bool compensated = which == "compensated" || which == "integer_compensated";
  return MakeQuantizedExecutor(model, compensated, device,
                               which.rfind("integer", 0) == 0 ? Numerics::kInteger : Numerics::kFake);
}

absl::StatusOr<Timing> Time(const Graph& graph, const Executor& executor, const at::Tensor& images, double seconds) {
  const at::Device device = images.device();
  for (int i = 0; i < kWarmUps; ++i) QWT_RETURN_IF_ERROR(RunGraph(graph, executor, images).status());
  Wait(device);
  if (!device.is_cpu()) ResetPeakBytes(device);
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < kFewestRepeats || Clock::now() - start < std::chrono::duration<double>(seconds)) {
    const auto begin = Clock::now();
    QWT_RETURN_IF_ERROR(RunGraph(graph, executor, images).status());
    Wait(device);
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return Timing{times[times.size() / 2], static_cast<int>(times.size()), device.is_cpu() ? 0 : PeakBytes(device)};
}

// One line, and its entry for the file. float_seconds: of the float pass of this batch; 0: not measured.
Json Report(const std::string& which, int64_t batch, const absl::StatusOr<Timing>& timing, double float_seconds) {
  Json entry = {{"model", which}, {"batch", batch}};
  if (!timing.ok()) {
    absl::PrintF("%-20s %6d   %s\n", which, batch, std::string(timing.status().message()));
    entry["error"] = std::string(timing.status().message());
    return entry;
  }
  const double rate = batch / timing->seconds;
  std::string peak = "-", ratio = "-";
  entry.update({{"images_per_second", rate}, {"ms", 1e3 * timing->seconds}, {"repeats", timing->repeats}});
  if (timing->peak_bytes > 0) {
    entry["peak_bytes"] = timing->peak_bytes;
    peak = absl::StrFormat("%.2f GB", timing->peak_bytes / 1e9);
  }
  if (float_seconds > 0) {
    entry["ratio"] = timing->seconds / float_seconds;
    ratio = absl::StrFormat("%.2f", timing->seconds / float_seconds);
  }
  absl::PrintF("%-20s %6d %10.0f %10.2f %10s %6s\n", which, batch, rate, 1e3 * timing->seconds, peak, ratio);
  std::fflush(stdout);
  return entry;
}

// Whether all were measured.
absl::StatusOr<bool> Run(const Arguments& arguments) {
  QWT_ASSIGN_OR_RETURN(const at::Device device, ResolveDevice(arguments.device, 0, 1));
  QWT_ASSIGN_OR_RETURN(const QuantizedModel model, LoadQuantizedModel(arguments.file));
  UseExactProducts();
  const TensorMap parameters = ToDevice(model.parameters, device);
  const Graph& graph = model.graph;
  Json result = {{"network", graph.name},
                 {"device", DescribeDevice(device)},
                 {"libtorch", TORCH_VERSION},
                 {"results", Json::array()}};
  absl::PrintF("%s on %s\n%-20s %6s %10s %10s %10s %6s\n", graph.name, DescribeDevice(device), "model", "batch",
               "images/s", "ms", "peak", "ratio");
  bool all = true;
  for (const int64_t batch : arguments.batches) {
    double float_seconds = 0;
    for (const std::string& which : arguments.models) {
      absl::StatusOr<Timing> timing;
      const absl::Status status = CatchExceptions(which, [&]() -> absl::Status {
        QWT_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor, MakeExecutor(which, model, parameters, device));
        const at::Tensor images =
            at::rand({batch, graph.channels, graph.height, graph.width}, at::TensorOptions(device));
        timing = Time(graph, *executor, images, arguments.seconds);
        return timing.status();
      });
      if (!status.ok()) timing = status;
      if (which == "float" && timing.ok()) float_seconds = timing->seconds;
      result["results"].push_back(Report(which, batch, timing, float_seconds));
      all = all && timing.ok();
    }
  }
  if (!arguments.json.empty()) QWT_RETURN_IF_ERROR(WriteFileAtomically(arguments.json, result.dump(2) + "\n"));
  return all;
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  CLI::App app{"Images a second of a saved model's forward passes on images that lie on the device."};
  qwt::Arguments arguments;
  app.add_option("model", arguments.file, "A quantised model that a run saved.")->required();
  app.add_option("--device", arguments.device, "auto, cpu, cuda or cuda:N.")->capture_default_str();
  app.add_option("--batch", arguments.batches, "Images in a batch.")->delimiter(',')->check(CLI::Range(1, 65536));
  app.add_option("--models", arguments.models, "float first, which the others are compared with.")
      ->delimiter(',')
      ->check(CLI::IsMember({"float", "quantized", "compensated", "integer", "integer_compensated"}));
  app.add_option("--seconds", arguments.seconds, "How long each is repeated.")->capture_default_str();
  app.add_option("--json", arguments.json, "A file for the same figures.");
  CLI11_PARSE(app, argc, argv);
  const c10::InferenceMode no_gradients;
  const absl::StatusOr<bool> all = qwt::Run(arguments);
  if (!all.ok()) std::cerr << "forward: " << all.status().message() << std::endl;
  return all.ok() && *all ? 0 : 1;
}
