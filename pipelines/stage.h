// The stage contract: a stage turns values into the next one. Plan() is a function of the request and says, before
// anything runs, what the stage reads, makes and stores; Run() does it, or takes it from the store.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/status.h"
#include "core/comm/communicator.h"
#include "core/config/node.h"
#include "core/registry/registry.h"
#include "core/store/store.h"
#include "data/crop_cache.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "models/graph.h"
#include "pipelines/cache_budget.h"
#include "pipelines/progress.h"
#include "pipelines/request.h"
#include "pipelines/values.h"

namespace qwt {

// Images a stage reads.
struct ImageList {
  std::shared_ptr<const Dataset> dataset;
  std::vector<int64_t> indices;
  std::string fingerprint;
  InputOptions input;      // what is made of each
  int64_t batch_size = 1;  // how many are computed together
};

// What a stage will do.
struct PlannedStage {
  std::string name;
  std::vector<StoreKey> keys;        // one for each entry it makes, in order; none: nothing is stored
  std::vector<std::string> entries;  // what each is: "blocks.3", "float"
  // What it makes on the way that other settings can use, in order: entries that it may store too. Of those after the
  // first the key may get longer as it runs.
  std::vector<StoreKey> shared;
  ImageList images;
  std::shared_ptr<CropCache> crops;  // of the images, where they are to be kept decoded
  int64_t memory_bytes = 0;          // estimated peak on one rank's device, beyond what earlier stages left
  // Of a stage that holds its images' values between blocks: how many bytes on a rank, where, and the key that entries
  // of them in the store begin with.
  int64_t value_bytes = 0;
  CacheBudget cache = {};
  std::string values_key = "";
};

// What a stage tells of its work besides its values.
struct StageOutcome {
  bool cached = false;           // everything came from the store
  int64_t forward_images = 0;    // that ran through the network or a part of it, once for each model; of all ranks
  double load_seconds = 0;       // of its time that it waited for images to be decoded
  double transfer_seconds = 0;   // of its time that it waited for decoded images to arrive on the GPU
  std::vector<int64_t> skipped;  // positions in its list of images, of all ranks: bad ones that were left out
};

// Filled by the stages in order.
struct Planning {
  const Request& request;
  int world_size = 1;
  int threads = 1;  // of a rank: that decode, and on the CPU compute
  at::Device device = at::kCPU;
  Graph graph = {};                                                     // set by the stage that makes the network
  std::map<std::string, std::string> made = {};                         // value -> hash of the key that makes it
  std::map<std::string, std::shared_ptr<const Dataset>> datasets = {};  // by split, opened once
};

// What a stage runs with.
struct RunContext {
  const Request& request;
  Communicator& comm;
  ArtifactStore& store;
  int threads;  // that decode
  Progress& progress;
  at::Device device = at::kCPU;

  // That compute: on the CPU each a batch of its own, on a GPU one, which keeps it busy.
  int compute_threads() const { return device.is_cpu() ? threads : 1; }
};

class Stage {
 public:
  virtual ~Stage() = default;
  virtual std::vector<std::string> Sections() const = 0;  // of the config that it reads
  virtual std::vector<std::string> Needs(const Request& request) const = 0;
  virtual std::vector<std::string> Makes() const = 0;
  // Adds everything wrong to *problems. Called only where the sections it reads are sound.
  virtual PlannedStage Plan(Planning& planning, Problems* problems) const = 0;
  virtual absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values,
                           StageOutcome* outcome) const = 0;
};

inline constexpr char kStageKind[] = "stage";
using StageRegistry = Registry<std::unique_ptr<Stage>, kStageKind>;
// The name must be a registered one, as the schema of `stages` checks.
std::unique_ptr<Stage> CreateStage(const std::string& name);

// The key every stage starts from: its name and version, the section's options that can change the result, keys of the
// values it needs, the kind of device where that is no CPU, and (with images) their fingerprint, their transform and
// the batch size, whose cut decides in which order products are summed; "auto" for a GPU's own choice.
StoreKey StageKey(const std::string& stage, int version, const Planning& planning,
                  const std::vector<std::string>& sections, const std::vector<std::string>& needs,
                  const ImageList* images);

// Which images of a split: `count` of them (0: all), prepared by `transform`.
struct ImageChoice {
  Split split;
  int64_t count;
  Order order;
  Transform transform;
  bool or_all = false;  // all there are where they are fewer than `count`; else that is a problem
};
// Opens (once) the split of the request's dataset and lists the images. `section` is whose option `images` is to blame
// where there are too few.
ImageList PlanImages(Planning& planning, const ImageChoice& choice, const std::string& section, Problems* problems);

// Images that a rank computes at once, for estimates of memory.
int64_t ImagesInFlight(const Planning& planning, const ImageList& images);

// Whether dataset.on_bad_image says to leave out images that cannot be decoded.
bool SkipsBadImages(const Request& request);

// DataLoss where every one of a stage's images was left out.
absl::Status CheckSomeAreLeft(const StageOutcome& outcome, int64_t images);

// This rank's share of the listed images, of which the first `sharers` ranks (0: all) have one. The images must outlive
// it.
std::unique_ptr<Loader> MakeLoader(const RunContext& context, const ImageList& images, const CropCache* crops = nullptr,
                                   int sharers = 0);

// The payload of each entry, or nullopt; rank 0 decides and all ranks agree.
absl::StatusOr<std::vector<std::optional<std::string>>> LookupEntries(RunContext& context,
                                                                      const std::vector<StoreKey>& keys);
// Rank 0 stores; the others do nothing.
absl::Status StoreEntry(RunContext& context, const StoreKey& key, const TensorFile& file);

}  // namespace qwt
