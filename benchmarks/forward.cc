// Images a second of a saved model's forward passes: float, quantised, quantised and compensated, these two as
// integers, and what LibTorch itself makes of the float network in bfloat16. The images are random and lie on the
// device already; each time is the median of repeats that were waited for. Integer models' passes are recorded, as
// evaluate runs them. ratio: the time against that of the float pass of the same batch in the same run. peak share: of
// the device's int8 operations a second, what the network's products take, two for each multiply-accumulate.
#include <torch/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ATen/ops/rand.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "benchmarks/bfloat16_executor.h"
#include "c10/core/InferenceMode.h"
#include "c10/core/impl/VirtualGuardImpl.h"
#include "core/base/files.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "core/tensor/gpu.h"
#include "models/cost.h"
#include "models/executor.h"
#include "models/recorded_network.h"
#include "qwt/quantized_model.h"

namespace qwt {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr int kWarmUps = 3, kFewestRepeats = 3;  // the second is recorded

struct Arguments {
  std::string file, device = "auto", json;
  std::vector<int64_t> batches = {32, 128, 256};
  std::vector<std::string> models = {"float", "quantized", "compensated"};
  double seconds = 2;
  bool eager = false, once = false;
};

// int8 operations a second of the matrix units, without sparsity, by data sheet; the first name that fits.
constexpr struct {
  const char* device;
  double tops;
} kPeaks[] = {{"H100 PCIe", 1513}, {"NVL", 1671}, {"H100", 1979}, {"H200", 1979}, {"A100", 624}};

// 0: not known.
double PeakTops(const std::string& device) {
  for (const auto& peak : kPeaks) {
    if (absl::StrContains(device, peak.device)) return peak.tops;
  }
  return 0;
}

struct Timing {
  double seconds = 0;  // of one batch
  int repeats = 0;
  int64_t peak_bytes = 0;  // on a GPU
};

void Wait(at::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

bool IsInteger(const std::string& which) { return absl::StartsWith(which, "integer"); }

// parameters: the model's, on the device.
absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const std::string& which, const QuantizedModel& model,
                                                       const TensorMap& parameters, at::Device device) {
  if (which == "float") return MakeFloatExecutor(parameters);
  if (which == "bf16") return MakeBfloat16Executor(model.graph, parameters);
  const bool compensated = which == "compensated" || which == "integer_compensated";
  return MakeQuantizedExecutor(model, compensated, device, IsInteger(which) ? Numerics::kInteger : Numerics::kFake);
}

absl::StatusOr<Timing> Time(const TensorFunction& forward, const at::Tensor& images, double seconds) {
  const at::Device device = images.device();
  if (!device.is_cpu()) ResetPeakBytes(device);
  for (int i = 0; i < kWarmUps; ++i) QWT_RETURN_IF_ERROR(forward(images).status());
  Wait(device);
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < kFewestRepeats || Clock::now() - start < std::chrono::duration<double>(seconds)) {
    const auto begin = Clock::now();
    QWT_RETURN_IF_ERROR(forward(images).status());
    Wait(device);
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return Timing{times[times.size() / 2], static_cast<int>(times.size()), device.is_cpu() ? 0 : PeakBytes(device)};
}

// The model on these images, on the device.
struct Subject {
  std::unique_ptr<Executor> executor;
  at::Tensor images;
};

absl::StatusOr<Subject> MakeSubject(const std::string& which, const QuantizedModel& model, const TensorMap& parameters,
                                    at::Device device, int64_t batch) {
  Subject subject;
  QWT_ASSIGN_OR_RETURN(subject.executor, MakeExecutor(which, model, parameters, device));
  const Graph& graph = model.graph;
  const at::TensorOptions there = at::TensorOptions(device).dtype(which == "bf16" ? at::kBFloat16 : at::kFloat);
  subject.images = at::rand({batch, graph.channels, graph.height, graph.width}, there);
  return subject;
}

// Of one model and batch; an integer model's kernels are launched as a whole or, eager, one by one.
absl::StatusOr<Timing> Measure(const std::string& which, const QuantizedModel& model, const TensorMap& parameters,
                               at::Device device, int64_t batch, bool eager, double seconds) {
  absl::StatusOr<Timing> timing;
  const Graph& graph = model.graph;
  const absl::Status status = CatchExceptions(which, [&]() -> absl::Status {
    QWT_ASSIGN_OR_RETURN(const Subject subject, MakeSubject(which, model, parameters, device, batch));
    RecordedNetwork recorded(&graph, subject.executor.get());
    const TensorFunction forward = [&](const at::Tensor& x) {
      return IsInteger(which) && !eager ? recorded.Run(x) : RunGraph(graph, *subject.executor, x);
    };
    timing = Time(forward, subject.images, seconds);
    return timing.status();
  });
  if (!status.ok()) return status;
  return timing;
}

// What the figures of all models are compared with.
struct Reference {
  double float_seconds = 0;    // of the float pass of this batch; 0: not measured
  double tera_operations = 0;  // of an image's products
  double peak_tops = 0;        // 0: not known
};

// One line, and its entry for the file.
Json Report(const std::string& which, int64_t batch, const absl::StatusOr<Timing>& timing, const Reference& reference) {
  Json entry = {{"model", which}, {"batch", batch}};
  if (!timing.ok()) {
    absl::PrintF("%-26s %6d   %s\n", which, batch, std::string(timing.status().message()));
    entry["error"] = std::string(timing.status().message());
    return entry;
  }
  const double rate = batch / timing->seconds;
  std::string peak = "-", ratio = "-", share = "-";
  entry.update({{"images_per_second", rate}, {"ms", 1e3 * timing->seconds}, {"repeats", timing->repeats}});
  if (timing->peak_bytes > 0) {
    entry["peak_bytes"] = timing->peak_bytes;
    peak = absl::StrFormat("%.2f GB", timing->peak_bytes / 1e9);
  }
  if (reference.float_seconds > 0) {
    entry["ratio"] = timing->seconds / reference.float_seconds;
    ratio = absl::StrFormat("%.2f", timing->seconds / reference.float_seconds);
  }
  if (IsInteger(which)) {
    entry["tops"] = rate * reference.tera_operations;
    if (reference.peak_tops > 0) {
      entry["peak_share"] = rate * reference.tera_operations / reference.peak_tops;
      share = absl::StrFormat("%.1f%%", 100 * rate * reference.tera_operations / reference.peak_tops);
    }
  }
  absl::PrintF("%-26s %6d %10.0f %10.2f %10s %6s %10s\n", which, batch, rate, 1e3 * timing->seconds, peak, ratio,
               share);
  std::fflush(stdout);
  return entry;
}

absl::StatusOr<double> TeraOperations(const Graph& graph) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentCost> costs, EstimateCost(graph, 1));
  double macs = 0;
  for (const SegmentCost& cost : costs) macs += static_cast<double>(cost.macs);
  return 2 * macs / 1e12;
}

// Of the first model and batch one pass, for a profiler.
absl::StatusOr<bool> RunOnce(const Arguments& arguments, const QuantizedModel& model, const TensorMap& parameters,
                             at::Device device) {
  QWT_ASSIGN_OR_RETURN(const Subject subject,
                       MakeSubject(arguments.models[0], model, parameters, device, arguments.batches[0]));
  Wait(device);
  BeginProfile();
  QWT_RETURN_IF_ERROR(RunGraph(model.graph, *subject.executor, subject.images).status());
  Wait(device);
  EndProfile();
  return true;
}

// Whether all were measured.
absl::StatusOr<bool> Run(const Arguments& arguments) {
  QWT_ASSIGN_OR_RETURN(const at::Device device, ResolveDevice(arguments.device, 0, 1));
  QWT_ASSIGN_OR_RETURN(const QuantizedModel model, LoadQuantizedModel(arguments.file));
  UseExactProducts();
  const TensorMap parameters = ToDevice(model.parameters, device);
  const Graph& graph = model.graph;
  if (arguments.once) return RunOnce(arguments, model, parameters, device);
  Reference reference;
  QWT_ASSIGN_OR_RETURN(reference.tera_operations, TeraOperations(graph));
  reference.peak_tops = PeakTops(DescribeDevice(device));
  Json result = {{"network", graph.name},
                 {"device", DescribeDevice(device)},
                 {"libtorch", TORCH_VERSION},
                 {"giga_operations", 1e3 * reference.tera_operations},
                 {"peak_tops", reference.peak_tops},
                 {"results", Json::array()}};
  absl::PrintF("%s on %s\n%-26s %6s %10s %10s %10s %6s %10s\n", graph.name, DescribeDevice(device), "model", "batch",
               "images/s", "ms", "peak", "ratio", "peak share");
  bool all = true;
  for (const int64_t batch : arguments.batches) {
    reference.float_seconds = 0;
    for (const std::string& which : arguments.models) {
      for (const bool eager : {false, true}) {
        if (eager && !(arguments.eager && IsInteger(which))) continue;
        const auto timing = Measure(which, model, parameters, device, batch, eager, arguments.seconds);
        if (which == "float" && timing.ok()) reference.float_seconds = timing->seconds;
        result["results"].push_back(Report(eager ? which + "_eager" : which, batch, timing, reference));
        all = all && timing.ok();
      }
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
      ->check(CLI::IsMember({"float", "bf16", "quantized", "compensated", "integer", "integer_compensated"}));
  app.add_option("--seconds", arguments.seconds, "How long each is repeated.")->capture_default_str();
  app.add_flag("--eager", arguments.eager, "Integer models also with their kernels launched one by one.");
  app.add_flag(
      "--once", arguments.once,
      "One pass of the first model and batch, for a profiler that starts when it is told to; nothing is timed.");
  app.add_option("--json", arguments.json, "A file for the same figures.");
  CLI11_PARSE(app, argc, argv);
  const c10::InferenceMode no_gradients;
  const absl::StatusOr<bool> all = qwt::Run(arguments);
  if (!all.ok()) std::cerr << "forward: " << all.status().message() << std::endl;
  return all.ok() && *all ? 0 : 1;
}
