// evaluate: top-1 and top-5 of each model on the evaluation split, every image exactly once (algorithms section 6).
#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <mutex>

#include "ATen/TensorOperators.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/topk.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "models/cost.h"
#include "models/recorded_network.h"
#include "pipelines/stage.h"
#include "pipelines/stages/crops.h"

namespace qwt {
namespace {

constexpr int64_t kSkipped = -1;  // in place of the prediction and the label of an image that was left out
constexpr std::array<const char*, 3> kModels = {"float", "quantized", "compensated"};

// The value that a model of this name runs on.
const char* ValueOf(const std::string& model) {
  if (model == "float") return kParameters;
  return model == "quantized" ? kQuantized : kCompensation;
}

// One model under evaluation: what it is run with and what is counted.
struct Subject {
  Evaluation evaluation;
  const Graph* graph;  // a quantised one may have biases that the float one lacks
  std::unique_ptr<Executor> executor;
  std::unique_ptr<RecordedNetwork> recorded;  // of integers, whose kernels are short; null: run as it is
  double thread_seconds = 0;

  absl::StatusOr<at::Tensor> Logits(const at::Tensor& images) const {
    return recorded ? recorded->Run(images) : RunGraph(*graph, *executor, images);
  }
};

bool IsFloat(const std::string& model) { return model == kModels[0]; }

// How quantised models run. On a GPU as integers unless the config says otherwise.
Numerics NumericsOf(const Options& options, at::Device device) {
  const std::string executor = options.String("executor");
  const bool integer = executor == "integer" || (executor == "auto" && device.is_cuda());
  return integer ? Numerics::kInteger : Numerics::kFake;
}

absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const std::string& model, const Values& values,
                                                       Numerics numerics, at::Device device) {
  if (IsFloat(model)) return MakeHalvingExecutor(MakeFloatExecutor(ToDevice(values.parameters, device)));
  QWT_ASSIGN_OR_RETURN(auto executor,
                       MakeQuantizedExecutor(*values.quantized, model == "compensated", device, numerics));
  return MakeHalvingExecutor(std::move(executor));
}

const Graph& GraphOf(const std::string& model, const Values& values) {
  return IsFloat(model) ? values.graph : values.quantized->graph;
}

absl::StatusOr<Subject> MakeSubject(const std::string& model, const Values& values, int64_t images, Numerics numerics,
                                    at::Device device) {
  Subject subject;
  Evaluation& evaluation = subject.evaluation;
  evaluation.model = model;
  evaluation.labels = at::zeros({images}, at::kLong);
  evaluation.predictions = at::zeros({images}, at::kLong);
  evaluation.top1 = at::zeros({images}, at::kByte);
  evaluation.top5 = at::zeros({images}, at::kByte);
  subject.graph = &GraphOf(model, values);
  QWT_ASSIGN_OR_RETURN(subject.executor, MakeExecutor(model, values, numerics, device));
  if (numerics == Numerics::kInteger && !IsFloat(model)) {
    subject.recorded = std::make_unique<RecordedNetwork>(subject.graph, subject.executor.get());
  }
  return subject;
}

// The float model's logits, float32 [images, classes], which the others' are compared with.
struct FloatLogits {
  at::Tensor values;   // undefined where the float model is not evaluated
  bool known = false;  // from the store; else the float model's rows are written before the others read them
};

// Writes the batch's rows of the subject's tensors; batches do not overlap, so threads need no lock for these.
void Count(const at::Tensor& logits, const Batch& batch, const FloatLogits& exact, Evaluation* evaluation) {
  const auto write = [&](const at::Tensor& rows, const at::Tensor& values) {
    rows.index_copy_(0, batch.positions, values.to(rows.scalar_type()));
  };
  const int64_t ranked = std::min<int64_t>(5, logits.size(1));
  at::Tensor best = std::get<1>(at::topk(logits, ranked, 1, true, true));
  at::Tensor hits = best.eq(batch.labels.unsqueeze(1));
  write(evaluation->labels, batch.labels);
  write(evaluation->predictions, best.select(1, 0));
  write(evaluation->top1, hits.select(1, 0));
  write(evaluation->top5, hits.any(1));
  if (IsFloat(evaluation->model)) {
    write(exact.values, logits);
  } else if (exact.values.defined()) {
    const at::Tensor wanted = exact.values.index_select(0, batch.positions);
    const at::Tensor difference = logits.to(at::kDouble) - wanted.to(at::kDouble);
    write(evaluation->squared_error, difference.square().mean(1));
  }
}

absl::Status RunBatch(const Batch& batch, const FloatLogits& exact, std::vector<Subject>& subjects, std::mutex& mutex) {
  if (batch.labels.size(0) == 0) return absl::OkStatus();  // all skipped
  for (Subject& subject : subjects) {
    const auto start = std::chrono::steady_clock::now();
    QWT_ASSIGN_OR_RETURN(at::Tensor logits, subject.Logits(batch.images));
    logits = logits.cpu();  // waits for the GPU
    if (!logits.isfinite().all().item<bool>()) {
      return absl::InternalError(
          absl::StrCat("evaluate: the ", subject.evaluation.model, " model's logits are not finite for images ",
                       batch.positions.min().item<int64_t>(), " to ", batch.positions.max().item<int64_t>()));
    }
    Count(logits, batch, exact, &subject.evaluation);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::lock_guard<std::mutex> lock(mutex);
    subject.thread_seconds += elapsed.count();
  }
  return absl::OkStatus();
}

// Sums the ranks' shares: each image's row was written by one rank and is zero elsewhere, so no bit changes.
absl::Status Reduce(RunContext& context, Subject* subject) {
  Evaluation& evaluation = subject->evaluation;
  for (at::Tensor* tensor : {&evaluation.labels, &evaluation.predictions, &evaluation.top1, &evaluation.top5}) {
    at::Tensor wide = tensor->to(at::kLong);
    QWT_RETURN_IF_ERROR(context.comm.AllReduceSum(wide));
    *tensor = wide.to(tensor->scalar_type());
  }
  if (evaluation.squared_error.defined()) QWT_RETURN_IF_ERROR(context.comm.AllReduceSum(evaluation.squared_error));
  at::Tensor seconds =
      at::zeros({1}, at::kDouble).fill_(subject->thread_seconds / context.compute_threads() / context.comm.size());
  QWT_RETURN_IF_ERROR(context.comm.AllReduceSum(seconds));
  evaluation.images_per_second = evaluation.predictions.size(0) / std::max(seconds.item<double>(), 1e-9);
  return absl::OkStatus();
}

constexpr char kLogits[] = "logits";

TensorFile ToFile(const Evaluation& evaluation, const FloatLogits& exact) {
  TensorFile file = {{{"labels", evaluation.labels},
                      {"predictions", evaluation.predictions},
                      {"top1", evaluation.top1},
                      {"top5", evaluation.top5}},
                     {{"images_per_second", absl::StrCat(evaluation.images_per_second)}}};
  if (evaluation.squared_error.defined()) file.tensors["squared_error"] = evaluation.squared_error;
  if (IsFloat(evaluation.model)) file.tensors[kLogits] = exact.values;
  return file;
}

absl::StatusOr<Evaluation> FromFile(const std::string& model, const std::string& path) {
  QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(path));
  Evaluation evaluation;
  evaluation.model = model;
  for (const auto& [name, tensor] :
       {std::pair("labels", &evaluation.labels), std::pair("predictions", &evaluation.predictions),
        std::pair("top1", &evaluation.top1), std::pair("top5", &evaluation.top5)}) {
    *tensor = file.tensors[name];
    if (!tensor->defined()) return absl::DataLossError(absl::StrCat(path, ": no ", name));
  }
  evaluation.squared_error = file.tensors["squared_error"];
  if (!absl::SimpleAtod(file.metadata["images_per_second"], &evaluation.images_per_second)) {
    return absl::DataLossError(absl::StrCat(path, ": no images_per_second"));
  }
  return evaluation;
}

class EvaluateStage : public Stage {
 public:
  std::vector<std::string> Sections() const override { return {"dataset", "evaluate"}; }
  std::vector<std::string> Needs(const Request& request) const override {
    std::vector<std::string> needs;
    for (const std::string& model : request.Of("evaluate").Strings("models")) needs.push_back(ValueOf(model));
    return needs;
  }
  std::vector<std::string> Makes() const override { return {kEvaluation}; }

  PlannedStage Plan(Planning& planning, Problems* problems) const override {
    PlannedStage plan;
    const Options& options = planning.request.Of("evaluate");
    plan.images = PlanImages(planning, {Split::kEval, options.Int("images"), Order::kFirst, Transform::kEval},
                             "evaluate", problems);
    if (options.Bool("crop_cache"))
      plan.crops = PlanCrops(planning, plan.images, options.Where("crop_cache"), problems);
    if (plan.images.dataset != nullptr && plan.images.dataset->classes() != planning.graph.classes) {
      problems->Add(planning.request.Of("dataset").Where("name"),
                    absl::StrCat("the dataset has ", plan.images.dataset->classes(), " classes, the model ",
                                 planning.graph.classes));
    }
    const std::vector<std::string> models = options.Strings("models");
    const bool with_float = std::any_of(models.begin(), models.end(), IsFloat);
    for (const std::string& model : models) {
      // A saved model may come without.
      if (model == "compensated" && planning.made.count(kQuantized) && !planning.made.count(kCompensation)) {
        problems->Add(options.Where("models"), "the quantised model has no compensation: leave out compensated");
      }
      StoreKey key = StageKey("evaluate", 2, planning, {}, {ValueOf(model)}, &plan.images).Add("model", model);
      const bool integer = NumericsOf(options, planning.device) == Numerics::kInteger;
      if (integer && !IsFloat(model)) key.Add("executor", "integer 1");
      if (with_float && !IsFloat(model)) key.Add("compared with", planning.made[kParameters]);
      plan.keys.push_back(key);
      plan.entries.push_back(model);
    }
    plan.memory_bytes = PeakActivationBytes(planning.graph, ImagesInFlight(planning, plan.images));
    if (with_float) plan.memory_bytes += plan.images.indices.size() * planning.graph.classes * sizeof(float);
    return plan;
  }

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values,
                   StageOutcome* outcome) const override {
    QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, plan.keys));
    const int64_t images = plan.images.indices.size();
    QWT_ASSIGN_OR_RETURN(FloatLogits exact, FindFloatLogits(plan, payloads, values));
    std::vector<Subject> subjects;
    for (size_t i = 0; i < plan.keys.size(); ++i) {
      if (payloads[i].has_value()) continue;
      const Numerics numerics = NumericsOf(context.request.Of("evaluate"), context.device);
      QWT_ASSIGN_OR_RETURN(Subject subject, MakeSubject(plan.entries[i], values, images, numerics, context.device));
      if (exact.values.defined() && !IsFloat(plan.entries[i])) {
        subject.evaluation.squared_error = at::zeros({images}, at::kDouble);
      }
      subjects.push_back(std::move(subject));
    }
    outcome->cached = subjects.empty();
    outcome->forward_images = images * static_cast<int64_t>(subjects.size());
    if (!outcome->cached) QWT_RETURN_IF_ERROR(Measure(plan, exact, context, subjects, outcome));
    std::map<std::string, Evaluation> measured;
    for (Subject& subject : subjects) {
      QWT_RETURN_IF_ERROR(Reduce(context, &subject));
      measured[subject.evaluation.model] = std::move(subject.evaluation);
    }
    const at::Tensor indices = at::tensor(plan.images.indices, at::kLong);
    for (size_t i = 0; i < plan.keys.size(); ++i) {
      Evaluation evaluation;
      if (payloads[i].has_value()) {
        QWT_ASSIGN_OR_RETURN(evaluation, FromFile(plan.entries[i], *payloads[i]));
      } else {
        evaluation = std::move(measured.at(plan.entries[i]));
        QWT_RETURN_IF_ERROR(StoreEntry(context, plan.keys[i], ToFile(evaluation, exact)));
      }
      evaluation.images = indices;
      values.evaluations.push_back(std::move(evaluation));
    }
    return ListSkipped(values.evaluations.back(), outcome);
  }

 private:
  // From the store, or room for them; nothing where the float model is not evaluated.
  static absl::StatusOr<FloatLogits> FindFloatLogits(const PlannedStage& plan,
                                                     const std::vector<std::optional<std::string>>& payloads,
                                                     const Values& values) {
    const auto found = std::find_if(plan.entries.begin(), plan.entries.end(), IsFloat);
    if (found == plan.entries.end()) return FloatLogits();
    const auto& payload = payloads[found - plan.entries.begin()];
    const int64_t images = plan.images.indices.size();
    if (!payload.has_value()) return FloatLogits{at::zeros({images, values.graph.classes})};
    QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(*payload));
    const at::Tensor& logits = file.tensors[kLogits];
    if (!logits.defined() || logits.dim() != 2 || logits.size(0) != images) {
      return absl::DataLossError(absl::StrCat(*payload, ": no logits of ", images, " images"));
    }
    return FloatLogits{logits, true};
  }

  // All models over each batch while it is there, so that images are decoded once; the float model first, which the
  // others are compared with.
  static absl::Status Measure(const PlannedStage& plan, FloatLogits& exact, RunContext& context,
                              std::vector<Subject>& subjects, StageOutcome* outcome) {
    std::stable_partition(subjects.begin(), subjects.end(),
                          [](const Subject& subject) { return IsFloat(subject.evaluation.model); });
    if (plan.crops != nullptr) QWT_RETURN_IF_ERROR(FillCrops(plan, context, outcome));
    std::unique_ptr<Loader> loader = MakeLoader(context, plan.images, plan.crops.get());
    std::mutex mutex;
    const auto start = std::chrono::steady_clock::now();
    context.progress.Begin("evaluate", plan.images.indices.size(), "images", [&] {
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      return absl::StrCat(", bound by ",
                          BoundBy(loader->waited_seconds() / context.compute_threads(),
                                  loader->transfer_seconds() / context.compute_threads(), elapsed.count()));
    });
    QWT_RETURN_IF_ERROR(ParallelFor(loader->batches(), context.compute_threads(), [&](int64_t) -> absl::Status {
      QWT_ASSIGN_OR_RETURN(std::optional<Batch> batch, loader->Next());
      if (!batch.has_value()) return absl::OkStatus();
      QWT_RETURN_IF_ERROR(RunBatch(*batch, exact, subjects, mutex));
      context.progress.Advance(batch->labels.size(0) * context.comm.size());
      return absl::OkStatus();
    }));
    context.progress.End();
    outcome->load_seconds += loader->waited_seconds() / context.compute_threads();
    outcome->transfer_seconds += loader->transfer_seconds() / context.compute_threads();
    for (const SkippedImage& image : loader->skipped()) {
      QWT_LOG(INFO) << "skipped: " << image.message;
      for (Subject& subject : subjects) {
        subject.evaluation.predictions[image.position] = kSkipped;
        subject.evaluation.labels[image.position] = kSkipped;
      }
    }
    if (!exact.values.defined() || exact.known) return absl::OkStatus();
    return context.comm.AllReduceSum(exact.values);
  }

  static absl::Status ListSkipped(const Evaluation& evaluation, StageOutcome* outcome) {
    const int64_t images = evaluation.predictions.size(0);
    for (int64_t i = 0; i < images; ++i) {
      if (evaluation.predictions.const_data_ptr<int64_t>()[i] == kSkipped) outcome->skipped.push_back(i);
    }
    return CheckSomeAreLeft(*outcome, images);
  }
};

Schema EvaluateSchema() {
  return {
      {Option::Strings("models", "Which models to evaluate.")
           .OneOf({kModels.begin(), kModels.end()})
           .Default("[float, quantized, compensated]"),
       Option::Int("images", "How many images of the evaluation split, from the first; 0: all.")
           .Range(0, 1e9)
           .Default("0"),
       Option::String("executor",
                      "How quantised models run. fake: values are quantised and dequantised and multiplied in "
                      "float32, as the official code does. integer: the same integers on a GPU's matrix units, many "
                      "times faster; a value that lies on the edge of two codes to float32's last bits may take the "
                      "other one. auto: integer on a GPU, else fake, the official numerics. On a CPU with AVX512-VNNI "
                      "integer is faster, too; on others it is not.")
           .OneOf({"auto", "integer", "fake"})
           .Default("auto"),
       Option::Bool("crop_cache",
                    "Keep the decoded and resized images in the store, so that later evaluations of any model that "
                    "takes the same crops decode nothing. --dry_run says how much disk that takes.")
           .Default("false")
           .NoEffectOnResult()}};
}

const bool registered = StageRegistry::Get().Register(
    {{"evaluate", "Counts correct predictions of each model on the evaluation split.", EvaluateSchema()},
     [](const Options&) { return std::make_unique<EvaluateStage>(); }});

}  // namespace
}  // namespace qwt
