#include "pipelines/runner.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iostream>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "c10/core/DeviceGuard.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/comm/rank_settings.h"
#include "core/tensor/device.h"
#include "pipelines/agreement.h"
#include "pipelines/planner.h"
#include "pipelines/result.h"
#include "pipelines/run_folder.h"

namespace qwt {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Linux keeps the peak of resident memory and lets a program set it back.
void ResetPeakMemory() { std::ofstream("/proc/self/clear_refs") << "5"; }
int64_t PeakMemoryBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::atoll(line.c_str() + 6) * 1024;
  }
  return 0;
}

// One line a stage, as it ends.
void PrintStage(const StageRecord& stage) {
  std::string line = absl::StrFormat("  %-14s %9s", stage.name, FormatDuration(stage.seconds));
  if (stage.cached) {
    absl::StrAppend(&line, "   from the store");
  } else if (stage.images > 0) {
    absl::StrAppendFormat(&line, "   %d images, %.0f images/s, bound by %s", stage.images,
                          stage.images / std::max(stage.seconds, 1e-9),
                          BoundBy(stage.load_seconds, stage.transfer_seconds, stage.seconds));
  }
  std::cout << line << std::endl;
}

absl::Status RunStage(const PlannedStage& planned, RunContext& context, Values& values, StageRecord* record) {
  const std::unique_ptr<Stage> stage = CreateStage(planned.name);
  ResetPeakMemory();
  if (context.device.is_cuda()) ResetPeakBytes(context.device);
  const auto start = std::chrono::steady_clock::now();
  StageOutcome outcome;
  absl::Status status = CheckInterrupt();
  if (status.ok()) {
    status = CatchExceptions(planned.name, [&] { return stage->Run(planned, context, values, &outcome); });
  }
  context.progress.End();
  record->name = planned.name;
  record->seconds = SecondsSince(start);
  record->cached = outcome.cached;
  record->forward_images = outcome.forward_images;
  record->images = outcome.forward_images == 0 ? 0 : planned.images.indices.size();
  record->peak_bytes = PeakMemoryBytes();
  if (context.device.is_cuda()) record->gpu_peak_bytes = PeakBytes(context.device);
  record->load_seconds = outcome.load_seconds;
  record->transfer_seconds = outcome.transfer_seconds;
  record->images_sha256 = planned.images.fingerprint;
  for (int64_t position : outcome.skipped) {
    record->skipped.push_back(planned.images.dataset->NameOf(planned.images.indices[position]));
  }
  return status;
}

int Fail(const absl::Status& status, ExitCode code, Communicator& comm) {
  // A wrong request is the same on every rank (Agree…), and so is an interrupt; one says it.
  const bool same_on_all = code == kRequestWrong || absl::IsCancelled(status);
  if (!same_on_all || comm.rank() == 0) {
    std::cerr << (comm.size() > 1 ? absl::StrCat("error (rank ", comm.rank(), "): ") : "error: ") << status.message()
              << std::endl;
  }
  comm.Leave(status);
  return absl::IsCancelled(status) ? kInterrupted : code;
}

std::string Headline(const Plan& plan) {
  const Request& request = plan.request;
  std::string text = request.name;
  auto add = [&](const char* section, const char* option, const char* before) {
    if (request.sections.count(section)) absl::StrAppend(&text, before, request.Of(section).String(option));
  };
  add("model", "name", ": ");
  add("dataset", "name", " on ");
  if (request.sections.count("quantize")) {
    const Options& options = request.Of("quantize");
    absl::StrAppend(&text, ", ", options.String("method"), " W", options.Int("weight_bits"), "/A",
                    options.Int("activation_bits"));
  }
  add("fit", "compensator", ", QwT ");
  return text;
}

// What is published of the setting that runs; nothing of another.
ExpectedScores ExpectedOf(const Request& request) {
  const auto section = request.sections.find(kExpected);
  if (section == request.sections.end()) return {};
  const Options& options = section->second;
  if (const auto quantize = request.sections.find("quantize"); quantize != request.sections.end()) {
    const std::string setting =
        absl::StrCat("W", quantize->second.Int("weight_bits"), "/A", quantize->second.Int("activation_bits"));
    if (setting != options.String("of")) return {};
  }
  ExpectedScores expected;
  for (const char* model : {"float", "quantized", "compensated"}) expected.top1[model] = options.Double(model);
  expected.tolerance = options.Double("tolerance");
  return expected;
}

// The stages after the first: from here on there is a run, whose outcome is written whatever it is.
absl::Status RunRest(const Plan& plan, RunContext& context, Values& values, RunResult* result) {
  for (size_t i = 1; i < plan.stages.size(); ++i) {
    StageRecord record;
    absl::Status status = RunStage(plan.stages[i], context, values, &record);
    // A rank that waits for one that has stopped may hear of it as a lost connection.
    if (absl::IsUnavailable(status) && !CheckInterrupt().ok()) status = CheckInterrupt();
    if (absl::IsCancelled(status)) {
      return absl::CancelledError(
          absl::StrCat(plan.stages[i].name, ": interrupted; the same command goes on from here"));
    }
    QWT_RETURN_IF_ERROR(Annotate(status, plan.stages[i].name));
    QWT_LOG(INFO) << record.name << ": " << record.seconds << " s" << (record.cached ? ", from the store" : "");
    result->stages.push_back(record);
    if (context.comm.rank() == 0) PrintStage(record);
  }
  return absl::OkStatus();
}

// Fail before there is a run, with what AgreeOn… said. `code`: for a fault that is neither the request's nor that a
// rank is gone.
int FailTogether(const absl::Status& agreed, ExitCode code, Communicator& comm) {
  if (IsRequestWrong(agreed)) code = kRequestWrong;
  if (absl::IsUnavailable(agreed)) code = kRunFailed;
  return Fail(agreed, code, comm);
}

// The run's store. One that cannot be written to will do where it holds all that the run would store.
absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenStore(const Plan& plan) {
  const std::string& root = plan.request.Of("runtime").String("store");
  QWT_ASSIGN_OR_RETURN(std::unique_ptr<ArtifactStore> store, ArtifactStore::Open(root));
  if (store->writable().ok()) return store;
  for (const PlannedStage& stage : plan.stages) {
    const int stored = StoredEntries(stage, root), entries = stage.keys.size();
    if (stored == entries) continue;
    return absl::Status(store->writable().code(),
                        absl::StrCat(store->writable().message(), " (it can be read, but has ", stored, " of ", entries,
                                     entries == 1 ? " entry" : " entries", " of ", stage.name, ")"));
  }
  QWT_LOG(INFO) << "the store is only read: " << store->writable().message();
  return store;
}

int Execute(const Plan& plan, const RunArguments& arguments, Communicator& comm) {
  const bool first_rank = comm.rank() == 0;
  // The ranks meet here, planned and warmed up, and after loading: no stage's seconds hold another rank's start.
  auto store = OpenStore(plan);
  absl::Status status = AgreeOnStatus(store.status(), comm);
  if (!status.ok()) return FailTogether(status, kRequestWrong, comm);
  (*store)->SetMaker(Headline(plan));
  Progress progress(first_rank);
  RunContext context{plan.request, comm, **store, plan.threads, progress, plan.device};
  const c10::DeviceGuard current(plan.device);
  RunResult result;
  result.name = plan.request.name;
  result.ranks = comm.size();
  result.threads = plan.threads;
  result.device = DescribeDevice(plan.device);
  result.config_sha256 = Sha256(plan.request.ToYaml());
  result.plan_sha256 = PlanHash(plan);
  result.expected = ExpectedOf(plan.request);

  if (first_rank) std::cout << Headline(plan) << "\n" << DescribeDiskUse(plan) << std::endl;
  Values values;
  StageRecord loading;
  status = AgreeOnStatus(RunStage(plan.stages[0], context, values, &loading), comm);
  if (!status.ok()) return FailTogether(status, kRunFailed, comm);
  result.stages.push_back(loading);
  if (first_rank) PrintStage(loading);

  absl::StatusOr<RunFolder> folder = RunFolder();
  if (first_rank) folder = RunFolder::Create(arguments.out, plan.request);
  status = AgreeOnStatus(folder.status(), comm);
  if (!status.ok()) return FailTogether(status, kRequestWrong, comm);
  status = RunRest(plan, context, values, &result);
  AddValues(values, &result);
  if (first_rank) {
    absl::Status written = folder->Write(values, status, &result);
    if (status.ok()) status = written;
  }
  if (!status.ok()) return Fail(status, kRunFailed, comm);
  if (first_rank) std::cout << "\n" << ResultToTable(result) << "\n  written to " << folder->path() << std::endl;
  return kDone;
}

// Where this rank computes.
absl::StatusOr<at::Device> DeviceOf(const Request& request, const RankSettings& settings) {
  const Options& runtime = request.Of("runtime");
  auto device = ResolveDevice(runtime.String("device"), settings.local_rank, settings.local_size);
  if (device.ok()) return device;
  return Annotate(device.status(), runtime.Where("device"));
}

}  // namespace

int RanksToStart(const RunArguments& arguments) {
  const auto request = LoadRequest(arguments.config, arguments.overrides);
  if (!request.ok()) return 1;
  if (request->Ranks() > 0) return request->Ranks();
  const std::string& device = request->Of("runtime").String("device");
  return device == "auto" || device == "cuda" ? std::max(1, GpuCount()) : 1;
}

int Run(const RunArguments& arguments) {
  const absl::StatusOr<RankSettings> settings = RankSettingsFromEnvironment();
  if (!settings.ok()) {
    std::cerr << "error: " << settings.status().message() << std::endl;
    return kRunFailed;
  }
  if (settings->size > 1) SetLogRank(settings->rank);
  absl::StatusOr<Request> request = LoadRequest(arguments.config, arguments.overrides);
  const absl::StatusOr<at::Device> device = request.ok() ? DeviceOf(*request, *settings) : request.status();
  UseExactProducts();
  // Beside joining and planning, which read files and wait.
  const at::Device warmed = arguments.dry_run ? at::Device(at::kCPU) : device.value_or(at::kCPU);
  const std::future<void> warm = std::async(std::launch::async, [=] { WarmUp(warmed); });
  auto comm = JoinRanks(*settings, device.value_or(at::kCPU));
  if (!comm.ok()) {
    std::cerr << "error: " << comm.status().message() << std::endl;
    return kRunFailed;
  }
  // This thread's operators, outside ParallelFor: ranks that share a machine would fight over its cores.
  at::set_num_threads(1);
  auto plan = device.ok() ? MakePlan(*std::move(request), {settings->size, settings->local_size, *device})
                          : absl::StatusOr<Plan>(device.status());
  absl::Status agreed = AgreeOnPlan(plan, **comm);
  if (agreed.ok()) agreed = AgreeOnDevice(*device, **comm);
  if (agreed.ok()) agreed = AgreeOnBatchSizes(&*plan, **comm);
  if (!agreed.ok()) return FailTogether(agreed, kRequestWrong, **comm);
  warm.wait();
  int code = kDone;
  if (!arguments.dry_run) {
    code = Execute(*plan, arguments, **comm);
  } else if (settings->rank == 0) {
    std::cout << Headline(*plan) << " (dry run: nothing is computed or written)\n\n" << DescribePlan(*plan);
  }
  (*comm)->Leave(absl::OkStatus());  // unless it has failed, and left with that
  return code;
}

}  // namespace qwt
