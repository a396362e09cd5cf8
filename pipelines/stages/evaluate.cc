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
#include "absl/strings/str_format.h"
#include "core/base/disk.h"
#include "core/base/log.h"
#include "core/tensor/parallel.h"
#include "models/cost.h"
#include "pipelines/stage.h"

namespace qwt {
namespace {

constexpr int64_t kSkipped = -1;  // in place of the prediction of an image that was left out
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
  const int64_t ranked = std::min<int64_t>(5, logits.size(1));
  at::Tensor best = std::get<1>(at::topk(logits, ranked, 1, true, true));
  at::Tensor hits = best.eq(batch.labels.unsqueeze(1));
  evaluation->predictions.index_copy_(0, batch.positions, best.select(1, 0));
  evaluation->top1.index_copy_(0, batch.positions, hits.select(1, 0).to(at::kByte));
  evaluation->top5.index_copy_(0, batch.positions, hits.any(1).to(at::kByte));
}

absl::Status RunBatch(const Batch& batch, std::vector<Subject>& subjects, std::mutex& mutex) {
  if (batch.labels.size(0) == 0) return absl::OkStatus();  // all skipped
  for (Subject& subject : subjects) {
    const auto start = std::chrono::steady_clock::now();
    QWT_ASSIGN_OR_RETURN(at::Tensor logits, RunGraph(*subject.graph, *subject.executor, batch.images));
    if (!logits.isfinite().all().item<bool>()) {
      return absl::InternalError(absl::StrCat("evaluate: the ", subject.evaluation.model,
                                              " model's logits are not finite for images ",
                                              batch.positions.min().item<int64_t>(), " to ",
                                              batch.positions.max().item<int64_t>()));
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
        PlanImages(planning, {Split::kEval, options.Int("images"), Order::kFirst, Transform::kEval}, "evaluate", problems);
    if (options.Bool("crop_cache")) plan.crops = PlanCrops(planning, plan.images, options.Where("crop_cache"), problems);
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

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values, StageOutcome* outcome) const override {
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
    outcome->cached = subjects.empty();
    if (!outcome->cached) QWT_RETURN_IF_ERROR(Measure(plan, context, subjects, outcome));
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
    return ListSkipped(values.evaluations.back(), outcome);
  }

 private:
  // All models over each batch while it is there, so that images are decoded once.
  static absl::Status Measure(const PlannedStage& plan, RunContext& context, std::vector<Subject>& subjects,
                              StageOutcome* outcome) {
    if (plan.crops != nullptr) QWT_RETURN_IF_ERROR(FillCrops(plan, context, outcome));
    std::unique_ptr<Loader> loader = MakeLoader(context, plan.images, plan.crops.get());
    std::mutex mutex;
    const auto start = std::chrono::steady_clock::now();
    context.progress.Begin("evaluate", plan.images.indices.size(), "images", [&] {
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      return absl::StrCat(", bound by ", BoundBy(loader->waited_seconds() / context.threads, elapsed.count()));
    });
    QWT_RETURN_IF_ERROR(ParallelFor(loader->batches(), context.threads, [&](int64_t) -> absl::Status {
      QWT_ASSIGN_OR_RETURN(std::optional<Batch> batch, loader->Next());
      if (!batch.has_value()) return absl::OkStatus();
      QWT_RETURN_IF_ERROR(RunBatch(*batch, subjects, mutex));
      context.progress.Advance(batch->labels.size(0) * context.comm.size());
      return absl::OkStatus();
    }));
    context.progress.End();
    outcome->load_seconds += loader->waited_seconds() / context.threads;
    for (const SkippedImage& image : loader->skipped()) {
      QWT_LOG(INFO) << "skipped: " << image.message;
      for (Subject& subject : subjects) subject.evaluation.predictions[image.position] = kSkipped;
    }
    return absl::OkStatus();
  }

  // Decodes what the crop cache lacks, then maps it.
  static absl::Status FillCrops(const PlannedStage& plan, RunContext& context, StageOutcome* outcome) {
    const auto start = std::chrono::steady_clock::now();
    const Communicator& comm = context.comm;
    context.progress.Begin("decode into the crop cache", plan.images.indices.size(), "images");
    CropCache::Share share = {comm.rank(), comm.size(), context.threads, SkipsBadImages(context.request),
                              [&](int64_t images) { context.progress.Advance(images * comm.size()); }};
    QWT_RETURN_IF_ERROR(plan.crops->Make(context.store, share));
    QWT_RETURN_IF_ERROR(context.comm.Barrier());
    QWT_RETURN_IF_ERROR(plan.crops->Open(context.store, context.threads));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    outcome->load_seconds += elapsed.count();
    return absl::OkStatus();
  }

  static absl::Status ListSkipped(const Evaluation& evaluation, StageOutcome* outcome) {
    const int64_t images = evaluation.predictions.size(0);
    for (int64_t i = 0; i < images; ++i) {
      if (evaluation.predictions[i].item<int64_t>() == kSkipped) outcome->skipped.push_back(i);
    }
    if (static_cast<int64_t>(outcome->skipped.size()) < images) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("none of the ", images, " images can be decoded; the log names them"));
  }

  // The cache of these images' crops; a problem where the store's disk has no room for it.
  static std::shared_ptr<CropCache> PlanCrops(const Planning& planning, const ImageList& images,
                                              const std::string& where, Problems* problems) {
    if (images.fingerprint.empty()) return nullptr;  // its problem is told
    auto planned = CropCache::Plan(*images.dataset, images.indices, images.input);
    if (!planned.ok()) {
      problems->Add(where, std::string(planned.status().message()));
      return nullptr;
    }
    const std::string& store = planning.request.Of("runtime").String("store");
    const int64_t missing_bytes = planned->MissingBytes(store), free_bytes = FreeBytes(store);
    if (missing_bytes > free_bytes) {
      problems->Add(where, absl::StrFormat("the decoded crops take %.2f GB in the store '%s', whose disk has %.2f GB free; "
                                           "make room, choose another store with runtime.store=DIR or evaluate without",
                                           missing_bytes / 1e9, store, free_bytes / 1e9));
    }
    return std::make_shared<CropCache>(*std::move(planned));
  }
};

Schema EvaluateSchema() {
  return {{Option::Strings("models", "Which models to evaluate.")
               .OneOf({kModels.begin(), kModels.end()})
               .Default("[float, quantized, compensated]"),
           Option::Int("images", "How many images of the evaluation split, from the first; 0: all.")
               .Range(0, 1e9)
               .Default("0"),
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
