#include "pipelines/stage.h"

#include <algorithm>

#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/tensor/device.h"
#include "models/cost.h"

namespace qwt {
namespace {

const char* SplitName(Split split) { return split == Split::kTrain ? "train" : "eval"; }

Preset RequestedPreset(const Request& request) { return *FindPreset(request.Of("dataset").String("preset")); }

absl::StatusOr<std::shared_ptr<const Dataset>> OpenSplit(Planning& planning, Split split) {
  auto [entry, added] = planning.datasets.try_emplace(SplitName(split));
  if (added) {
    const Options& options = planning.request.Of("dataset");
    const DatasetContext context = {split, planning.request.Of("runtime").String("store") + "/index"};
    QWT_ASSIGN_OR_RETURN(auto component, DatasetRegistry::Get().Find(options.String("name")));
    QWT_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> dataset, component->create(options, context));
    entry->second = std::move(dataset);
  }
  return entry->second;
}

int64_t RequestedBatchSize(const Request& request) { return request.Of("runtime").Int("batch_size"); }

// As asked for; else 16 on the CPU, where larger ones are no faster, and on a GPU the largest power of two up to 256
// whose activations leave most of the free memory to what else a stage holds. Calibration and fit have few images,
// which are cut for up to eight ranks: how they are cut must not depend on how many there are.
int64_t BatchSize(const Planning& planning, int64_t images, Split split) {
  constexpr int64_t kOnCpu = 16, kLargest = 256, kSmallestCut = 16, kRanks = 8, kPartOfMemory = 8;
  const int64_t requested = RequestedBatchSize(planning.request);
  if (requested > 0) return requested;
  if (planning.device.is_cpu()) return kOnCpu;
  const int64_t most = split == Split::kTrain ? std::max(kSmallestCut, images / kRanks) : kLargest;
  const int64_t bytes_an_image = std::max<int64_t>(1, PeakActivationBytes(planning.graph, 1));
  const int64_t free_bytes = FreeBytes(planning.device);
  int64_t size = 1;
  while (2 * size <= std::min(most, kLargest) && 2 * size * bytes_an_image * kPartOfMemory <= free_bytes) size *= 2;
  return size;
}

// Augmentation draws by the images' indices, which their content does not tell.
std::string TransformText(const ImageList& images) {
  const InputOptions& input = images.input;
  const Preset& preset = input.preset;
  const std::string text =
      absl::StrCat(input.height, "x", input.width, " crop_pct ", preset.crop_pct, " pad ", preset.pad, " mean ",
                   absl::StrJoin(preset.mean, " "), " std ", absl::StrJoin(preset.std, " "));
  if (input.transform == Transform::kEval) return absl::StrCat("eval ", text);
  return absl::StrCat("train rand-m9-mstd0.5-inc1 ", text, " seed ", input.seed, " indices ",
                      Sha256(absl::StrJoin(images.indices, " ")));
}

// Empty where the stage that makes the value could not be planned; the plan is then thrown away with its problems.
std::string MadeBy(const Planning& planning, const std::string& value) {
  auto found = planning.made.find(value);
  return found == planning.made.end() ? "" : found->second;
}

}  // namespace

std::unique_ptr<Stage> CreateStage(const std::string& name) {
  auto component = StageRegistry::Get().Find(name);
  QWT_CHECK(component.ok());
  return *(*component)->create(Options());
}

StoreKey StageKey(const std::string& stage, int version, const Planning& planning,
                  const std::vector<std::string>& sections, const std::vector<std::string>& needs,
                  const ImageList* images) {
  StoreKey key(stage, version);
  for (const std::string& section : sections) key.Add(section, planning.request.Of(section).ResultText());
  for (const std::string& value : needs) key.Add(value, MadeBy(planning, value));
  if (images != nullptr) {
    key.Add("images", images->fingerprint);
    key.Add("transform", TransformText(*images));
    if (SkipsBadImages(planning.request)) key.Add("on_bad_image", "skip");
    const bool chosen_by_memory = planning.device.is_cuda() && RequestedBatchSize(planning.request) == 0;
    key.Add("batch_size", chosen_by_memory ? "auto" : absl::StrCat(images->batch_size));
  }
  if (!planning.device.is_cpu()) key.Add("device", DeviceTypeName(planning.device.type(), /*lower_case=*/true));
  return key;
}

ImageList PlanImages(Planning& planning, const ImageChoice& choice, const std::string& section, Problems* problems) {
  const Options& options = planning.request.Of(section);
  ImageList images;
  images.input = {RequestedPreset(planning.request), planning.graph.height, planning.graph.width, choice.transform,
                  planning.request.seed};
  if (!planning.graph.blocks.empty()) {  // otherwise `load` failed, and its problem is told
    const absl::Status fits = CheckInput(images.input);
    const bool trains = choice.transform == Transform::kTrain;
    if (!fits.ok()) {
      problems->Add(trains ? options.Where("transform") : planning.request.Of("dataset").Where("preset"),
                    std::string(fits.message()));
    }
  }
  auto dataset = OpenSplit(planning, choice.split);
  if (!dataset.ok()) {
    problems->Add("", std::string(dataset.status().message()));  // says itself which option is wrong
    return images;
  }
  if (*dataset == nullptr) return images;  // reported when it was opened first
  images.dataset = *dataset;
  const int64_t count = choice.or_all ? std::min(choice.count, images.dataset->size()) : choice.count;
  auto indices = SelectImages(*images.dataset, count, choice.order, planning.request.seed);
  if (!indices.ok()) {
    problems->Add(options.Where("images"), std::string(indices.status().message()));
    return images;
  }
  images.indices = *std::move(indices);
  images.batch_size = BatchSize(planning, images.indices.size(), choice.split);
  auto fingerprint = images.dataset->Fingerprint(images.indices);
  if (!fingerprint.ok()) {
    problems->Add(options.Where("images"), std::string(fingerprint.status().message()));
    return images;
  }
  images.fingerprint = *std::move(fingerprint);
  return images;
}

int64_t ImagesInFlight(const Planning& planning, const ImageList& images) {
  return images.batch_size * (planning.device.is_cpu() ? planning.threads : 1);
}

bool SkipsBadImages(const Request& request) { return request.Of("dataset").String("on_bad_image") == "skip"; }

absl::Status CheckSomeAreLeft(const StageOutcome& outcome, int64_t images) {
  if (static_cast<int64_t>(outcome.skipped.size()) < images) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("none of the ", images, " images can be decoded; the log names them"));
}

std::unique_ptr<Loader> MakeLoader(const RunContext& context, const ImageList& images, const CropCache* crops,
                                   int sharers) {
  LoaderOptions options;
  options.input = images.input;
  options.batch_size = images.batch_size;
  options.world_size = sharers == 0 ? context.comm.size() : sharers;
  const bool has_share = context.comm.rank() < options.world_size;
  options.rank = has_share ? context.comm.rank() : 0;
  options.workers = context.threads;
  options.prefetch = context.device.is_cpu() ? 2 * context.threads : 3;  // a GPU's batches are large
  options.skip_bad_images = SkipsBadImages(context.request);
  options.device = context.device;
  options.crops = crops;
  return std::make_unique<Loader>(*images.dataset, has_share ? images.indices : std::vector<int64_t>(), options);
}

absl::StatusOr<std::vector<std::optional<std::string>>> LookupEntries(RunContext& context,
                                                                      const std::vector<StoreKey>& keys) {
  std::vector<std::optional<std::string>> payloads(keys.size());
  at::Tensor there = at::zeros({static_cast<int64_t>(keys.size())}, at::kLong);
  if (context.comm.rank() == 0) {
    for (size_t i = 0; i < keys.size(); ++i) {
      QWT_ASSIGN_OR_RETURN(payloads[i], context.store.Lookup(keys[i]));
      there[i] = payloads[i].has_value() ? 1 : 0;
    }
  }
  QWT_RETURN_IF_ERROR(context.comm.Broadcast(there, 0));
  if (context.comm.rank() == 0) return payloads;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (there[i].item<int64_t>() == 0) continue;
    QWT_ASSIGN_OR_RETURN(payloads[i], context.store.Lookup(keys[i]));
    if (payloads[i].has_value()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", context.comm.rank(), " does not find in its store '", context.store.root(),
                     "' what rank 0 finds: all ranks need one folder, or each an empty one (runtime.store)"));
  }
  return payloads;
}

absl::Status StoreEntry(RunContext& context, const StoreKey& key, const TensorFile& file) {
  if (context.comm.rank() != 0) return absl::OkStatus();
  return context.store.Put(key, [&](const std::string& path) { return WriteSafetensors(path, file); }).status();
}

}  // namespace qwt
