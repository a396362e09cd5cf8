// evaluate: top-1 and top-5 of each model on the evaluation split, every image exactly once (algorithms section 6).
#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>

#include "ATen/ops/from_blob.h"
#include "ATen/ops/topk.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/tensor/parallel.h"
#include "models/cost.h"
#include "pipelines/stage.h"

namespace qwt {
namespace {

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
  double thread_seconds = 0;
};

absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const std::string& model, const Values& values) {
  if (model == "float") return MakeFloatExecutor(values.parameters);
  return MakeQuantizedExecutor(*values.quantized, model == "compensated");
}

const Graph& GraphOf(const std::string& model, const Values& values) {
  return model == "float" ? values.graph : values.quantized->graph;
}

// Writes the batch's rows of the subject's tensors; batches do not overlap, so threads need no lock for these.
void Count(const at::Tensor& logits, const Batch& batch, Evaluation* evaluation) {
  const int64_t count = batch.labels.size(0);
  const int64_t ranked = std::min<int64_t>(5, logits.size(1));
  at::Tensor best = std::get<1>(at::topk(logits, ranked, 1, true, true));
  at::Tensor hits = best.eq(batch.labels.unsqueeze(1));
  evaluation->predictions.slice(0, batch.first, batch.first + count).copy_(best.select(1, 0));
  evaluation->top1.slice(0, batch.first, batch.first + count).copy_(hits.select(1, 0));
  evaluation->top5.slice(0, batch.first, batch.first + count).copy_(hits.any(1));
}

absl::Status RunBatch(const Batch& batch, std::vector<Subject>& subjects, std::mutex& mutex) {
  for (Subject& subject : subjects) {
    const auto start = std::chrono::steady_clock::now();
    QWT_ASSIGN_OR_RETURN(at::Tensor logits, RunGraph(*subject.graph, *subject.executor, batch.images));
    if (!logits.isfinite().all().item<bool>()) {
      return absl::InternalError(absl::StrCat("evaluate: the ", subject.evaluation.model,
                                              " model's logits are not finite for images ", batch.first, " to ",
                                              batch.first + batch.labels.size(0) - 1));
    }
    Count(logits, batch, &subject.evaluation);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::lock_guard<std::mutex> lock(mutex);
    subject.thread_seconds += elapsed.count();
  }
  return absl::OkStatus();
}

// Sums the ranks' shares: each image's row was written by one rank and is zero elsewhere.
absl::Status Reduce(RunContext& context, Subject* subject) {
  Evaluation& evaluation = subject->evaluation;
  for (at::Tensor* tensor : {&evaluation.predictions, &evaluation.top1, &evaluation.top5}) {
    at::Tensor wide = tensor->to(at::kLong);
    QWT_RETURN_IF_ERROR(context.comm.AllReduceSum(wide));
    *tensor = wide.to(tensor->scalar_type());
  }
  at::Tensor seconds =
      at::zeros({1}, at::kDouble).fill_(subject->thread_seconds / context.threads / context.comm.size());
  QWT_RETURN_IF_ERROR(context.comm.AllReduceSum(seconds));
  evaluation.images_per_second = evaluation.predictions.size(0) / std::max(seconds.item<double>(), 1e-9);
  return absl::OkStatus();
}

TensorFile ToFile(const Evaluation& evaluation) {
  return {{{"predictions", evaluation.predictions}, {"top1", evaluation.top1}, {"top5", evaluation.top5}},
          {{"images_per_second", absl::StrCat(evaluation.images_per_second)}}};
}

absl::StatusOr<Evaluation> FromFile(const std::string& model, const std::string& path) {
  QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(path));
  Evaluation evaluation{model, file.tensors["predictions"], file.tensors["top1"], file.tensors["top5"]};
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
    plan.images =
        PlanImages(planning, Split::kEval, options.Int("images"), Order::kFirst, options.Where("images"), problems);
    if (plan.images.dataset != nullptr && plan.images.dataset->classes() != planning.graph.classes) {
      problems->Add(planning.request.Of("dataset").Where("name"),
                    absl::StrCat("the dataset has ", plan.images.dataset->classes(), " classes, the model ",
                                 planning.graph.classes));
    }
    for (const std::string& model : options.Strings("models")) {
      plan.keys.push_back(StageKey("evaluate", 1, planning, {}, {ValueOf(model)}, &plan.images).Add("model", model));
      plan.entries.push_back(model);
    }
    plan.memory_bytes =
        PeakActivationBytes(planning.graph, planning.request.Of("runtime").Int("batch_size") * planning.threads);
    return plan;
  }

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values, bool* cached) const override {
    QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, plan.keys));
    std::vector<Subject> subjects;
    const int64_t images = plan.images.indices.size();
    for (size_t i = 0; i < plan.keys.size(); ++i) {
      if (payloads[i].has_value()) continue;
      Subject& subject = subjects.emplace_back();
      subject.evaluation = {plan.entries[i], at::zeros({images}, at::kLong), at::zeros({images}, at::kByte),
                            at::zeros({images}, at::kByte)};
      subject.graph = &GraphOf(plan.entries[i], values);
      QWT_ASSIGN_OR_RETURN(subject.executor, MakeExecutor(plan.entries[i], values));
    }
    *cached = subjects.empty();
    if (!*cached) QWT_RETURN_IF_ERROR(Measure(plan, context, subjects));
    for (size_t i = 0, next = 0; i < plan.keys.size(); ++i) {
      if (payloads[i].has_value()) {
        QWT_ASSIGN_OR_RETURN(Evaluation evaluation, FromFile(plan.entries[i], *payloads[i]));
        values.evaluations.push_back(std::move(evaluation));
        continue;
      }
      QWT_RETURN_IF_ERROR(Reduce(context, &subjects[next]));
      QWT_RETURN_IF_ERROR(StoreEntry(context, plan.keys[i], ToFile(subjects[next].evaluation)));
      values.evaluations.push_back(std::move(subjects[next++].evaluation));
    }
    return absl::OkStatus();
  }

 private:
  // All models over each batch while it is there, so that images are decoded once.
  static absl::Status Measure(const PlannedStage& plan, RunContext& context, std::vector<Subject>& subjects) {
    std::unique_ptr<Loader> loader = MakeLoader(context, plan.images, *subjects[0].graph);
    std::mutex mutex;
    context.progress.Begin("evaluate", plan.images.indices.size(), "images");
    return ParallelFor(loader->batches(), context.threads, [&](int64_t) -> absl::Status {
      QWT_ASSIGN_OR_RETURN(std::optional<Batch> batch, loader->Next());
      QWT_RETURN_IF_ERROR(RunBatch(*batch, subjects, mutex));
      context.progress.Advance(batch->labels.size(0) * context.comm.size());
      return absl::OkStatus();
    });
  }
};

Schema EvaluateSchema() {
  return {{Option::Strings("models", "Which models to evaluate.")
               .OneOf({kModels.begin(), kModels.end()})
               .Default("[float, quantized, compensated]"),
           Option::Int("images", "How many images of the evaluation split, from the first; 0: all.")
               .Range(0, 1e9)
               .Default("0")}};
}

const bool registered = StageRegistry::Get().Register(
    {{"evaluate", "Counts correct predictions of each model on the evaluation split.", EvaluateSchema()},
     [](const Options&) { return std::make_unique<EvaluateStage>(); }});

}  // namespace
}  // namespace qwt
