// Photographs in folders, from the command line to the result: which were read, which left out, what is kept of them.
#include <filesystem>
#include <memory>

#include "core/comm/rank_settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/ranks.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kGolden[] = "tests/golden/transforms/";

// ROOT/{train,val} with ten classes of three images each: every golden image a few times.
void MakeImages(const std::string& root) {
  const std::vector<std::string> names = {"landscape.jpg", "portrait.jpg", "grey.jpg", "narrow.jpg", "cmyk.jpg"};
  for (const char* split : {"train", "val"}) {
    for (int i = 0; i < 30; ++i) {
      const fs::path folder = fs::path(root) / split / ("class" + std::to_string(i / 3));
      fs::create_directories(folder);
      fs::copy_file(kGolden + names[i % names.size()], folder / ("image" + std::to_string(i % 3) + ".jpg"));
    }
  }
}

// The demo network, which knows ten classes and 28 x 28 pixels, on the images in FOLDER/images.
std::vector<std::string> Arguments(const std::string& folder, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"pipelines/run",
                                        "configs/quickstart.yaml",
                                        "dataset={name: image_folder, preset: deit, root: " + folder + "/images}",
                                        "calibrate={images: 8, order: random, transform: train}",
                                        "fit.images=20",
                                        "fit.order=random",
                                        "fit.transform=train",
                                        "evaluate.images=0",
                                        "runtime.batch_size=4",
                                        "runtime.threads=1",
                                        "seed=3",
                                        "--out=" + folder + "/out",
                                        "runtime.store=" + folder + "/store"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

json Stage(const json& result, const std::string& name) {
  for (const json& stage : result["stages"]) {
    if (stage["name"] == name) return stage;
  }
  ADD_FAILURE() << "no stage " << name;
  return {};
}

TEST(ImagesTest, AnyNumberOfRanksTakesTheSameImagesAndGetsTheSameResult) {
  const std::string folder = TestFolder("ranks");
  MakeImages(folder + "/images");
  json expected;
  for (int ranks : {1, 2, 4}) {
    const std::string store = "runtime.store=" + folder + "/store" + std::to_string(ranks);
    const ProgramResult run = RunProgram(Arguments(folder, {store, "--nproc=" + std::to_string(ranks)}));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const json result = ResultIn(folder + "/out");
    if (ranks == 1) {
      expected = result;
      EXPECT_EQ(result["evaluation"]["float"]["images"], 30);
      EXPECT_NE(Stage(result, "calibrate")["images_sha256"], Stage(result, "fit")["images_sha256"]);
    }
    EXPECT_EQ(result["evaluation"], expected["evaluation"]) << ranks;
    EXPECT_EQ(result["blocks"], expected["blocks"]) << ranks;
    for (const char* stage : {"calibrate", "fit", "evaluate"}) {
      EXPECT_EQ(Stage(result, stage)["images_sha256"], Stage(expected, stage)["images_sha256"]) << ranks;
    }
  }
}

TEST(ImagesTest, TheTransformAndTheSeedDecideWhatIsFound) {
  const std::string folder = TestFolder("seed");
  MakeImages(folder + "/images");
  const std::vector<std::string> stages = {"stages=[load, calibrate]", "calibrate.order=first"};
  auto cached = [&](std::vector<std::string> more) {
    more.insert(more.begin(), stages.begin(), stages.end());
    const ProgramResult run = RunProgram(Arguments(folder, more));
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return Stage(ResultIn(folder + "/out"), "calibrate")["cached"].get<bool>();
  };
  EXPECT_FALSE(cached({}));
  EXPECT_TRUE(cached({}));
  EXPECT_FALSE(cached({"seed=4"}));
  EXPECT_FALSE(cached({"calibrate.transform=eval"}));
  EXPECT_TRUE(cached({"calibrate.transform=eval", "seed=4"})) << "nothing is drawn";
}

TEST(ImagesTest, ABadImageStopsTheRunAndIsNamed) {
  const std::string folder = TestFolder("bad");
  MakeImages(folder + "/images");
  MakeFile(folder + "/images/val/class4/image1.jpg", "");
  const ProgramResult run = RunProgram(Arguments(folder));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.err, "error: evaluate: " + folder + "/images/val/class4/image1.jpg: the file is empty\n");
}

// Image 13 is in batch 3, which is rank 1's.
TEST(ImagesTest, ABadImageOfOneRankStopsTheOthersWithItsMessage) {
  const std::string folder = TestFolder("bad_of_one");
  MakeImages(folder + "/images");
  const std::string message = folder + "/images/val/class4/image1.jpg: the file is empty\n";
  MakeFile(folder + "/images/val/class4/image1.jpg", "");
  Ranks ranks = StartRanks(2, Arguments(folder));
  const std::vector<ProgramResult> results = WaitForRanks(ranks);
  EXPECT_EQ(results[0].exit_code, 1);
  EXPECT_EQ(results[1].exit_code, 1);
  EXPECT_EQ(results[1].err, "error (rank 1): evaluate: " + message);
  EXPECT_EQ(results[0].err, "error (rank 0): evaluate: rank 1 has ended: evaluate: " + message);
}

TEST(ImagesTest, BadImagesAreSkippedCountedAndNamedWhereAskedFor) {
  const std::string folder = TestFolder("skip");
  MakeImages(folder + "/images");
  const std::string bad = folder + "/images/val/class4/image1.jpg", cut = folder + "/images/train/class0/image1.jpg";
  MakeFile(bad, "");
  MakeFile(cut, Contents(std::string(kGolden) + "portrait.jpg").substr(0, 5000));
  const std::vector<std::string> skip = {"dataset.on_bad_image=skip", "calibrate.order=first", "fit.order=first"};
  json expected;
  for (int ranks : {1, 1, 2}) {  // the second run takes everything from the store
    std::vector<std::string> more = skip;
    more.push_back("--nproc=" + std::to_string(ranks));
    if (ranks == 2) more.push_back("runtime.store=" + folder + "/store2");
    const ProgramResult run = RunProgram(Arguments(folder, more));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_THAT(run.out, HasSubstr("  evaluate: 1 image could not be decoded: " + bad + "\n"));
    EXPECT_THAT(run.out, HasSubstr("  fit: 1 image could not be decoded: " + cut + "\n"));
    const json result = ResultIn(folder + "/out");
    EXPECT_THAT(Stage(result, "calibrate")["skipped"], ElementsAre(cut));
    EXPECT_THAT(Stage(result, "fit")["skipped"], ElementsAre(cut));
    EXPECT_THAT(Stage(result, "evaluate")["skipped"], ElementsAre(bad));
    EXPECT_EQ(result["evaluation"]["compensated"]["images"], 29);
    if (expected.is_null()) expected = result;
    EXPECT_EQ(result["evaluation"], expected["evaluation"]) << ranks;
    EXPECT_EQ(result["blocks"], expected["blocks"]) << ranks;
  }
  // What was computed without the images does not serve a run that must have them all.
  const ProgramResult run = RunProgram(Arguments(folder, {"calibrate.order=first", "fit.order=first"}));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("error: calibrate: " + cut + ": damaged JPEG data"));
}

TEST(ImagesTest, TheCropCacheSaysItsSizeAndChangesNothing) {
  const std::string folder = TestFolder("crops");
  MakeImages(folder + "/images");
  const std::vector<std::string> with_cache = {"stages=[load, evaluate]", "evaluate.models=[float]",
                                               "evaluate.crop_cache=true"};
  ProgramResult run = RunProgram(Arguments(folder, {with_cache[0], with_cache[1]}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json expected = ResultIn(folder + "/out");
  std::vector<std::string> dry = with_cache;
  dry.push_back("--dry_run");
  run = RunProgram(Arguments(folder, dry));
  EXPECT_THAT(run.out,
              HasSubstr("  crop cache of evaluate: 30 images, 0.000 GB, of which 0.000 GB are to be written to " +
                        folder + "/store\n"));
  // Another batch size: another value, the same crops.
  for (const char* batch_size : {"runtime.batch_size=5", "runtime.batch_size=6"}) {
    std::vector<std::string> more = with_cache;
    more.push_back(batch_size);
    run = RunProgram(Arguments(folder, more));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(ResultIn(folder + "/out")["evaluation"]["float"]["top1"], expected["evaluation"]["float"]["top1"]);
  }
}

TEST(ImagesTest, RanksThatSeeOtherFilesAreTold) {
  const std::string folder = TestFolder("other");
  MakeImages(folder + "/here/images");
  fs::create_directories(folder + "/there");
  fs::copy(folder + "/here/images", folder + "/there/images", fs::copy_options::recursive);
  MakeFile(folder + "/there/images/train/class0/image0.jpg", Contents(std::string(kGolden) + "grey.jpg"));
  const std::string port = std::to_string(*FreePort());
  Ranks ranks;
  for (int rank : {0, 1}) {
    ranks.push_back(
        std::make_unique<Program>(Arguments(folder + (rank == 0 ? "/here" : "/there"), {"calibrate.order=first"}),
                                  std::map<std::string, std::string>{{"RANK", std::to_string(rank)},
                                                                     {"LOCAL_RANK", std::to_string(rank)},
                                                                     {"WORLD_SIZE", "2"},
                                                                     {"MASTER_ADDR", "127.0.0.1"},
                                                                     {"MASTER_PORT", port}}));
  }
  const ProgramResult first = ranks[0]->Wait(), second = ranks[1]->Wait();
  EXPECT_EQ(first.exit_code, 2);
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_THAT(first.err, HasSubstr("error (rank 0): calibrate: rank 1 sees other images than rank 0"));
  EXPECT_EQ(second.err, "");
  EXPECT_FALSE(fs::exists(folder + "/here/out"));
}

TEST(ImagesTest, SmallImagesHaveNoTrainingTransform) {
  const ProgramResult run = RunProgram(ShortQuickstart(TestFolder("small"), {"fit.transform=train"}));
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("command line: fit.transform: preset fashion_mnist has no training transform"));
}

}  // namespace
}  // namespace qwt
