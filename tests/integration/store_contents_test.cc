// What keys hold beside options: the content of files, whose paths and names they do not hold, the order of lists, and
// the kind of machine.
#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"
#include "tests/integration/planned_keys.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;
using testing::HasSubstr;

const Names kEvaluated = {"float", "quantized", "compensated", "diagnose"};

PlannedKeys Plan(const std::vector<std::string>& overrides = {}, const Placement& placement = {}) {
  PlannedKeys planned = KeysOf(KeysConfig().Yaml(), overrides, placement);
  EXPECT_TRUE(planned.status.ok()) << planned.status;
  return planned;
}

Names ChangedBy(const std::vector<std::string>& base, const std::vector<std::string>& overrides) {
  std::vector<std::string> all = base;
  all.insert(all.end(), overrides.begin(), overrides.end());
  return Changed(Plan(base), Plan(all));
}

void FlipByte(const std::string& path, size_t position) {
  std::string content = Contents(path);
  ASSERT_LT(position, content.size());
  content[position] ^= 1;
  MakeFile(path, content);
}

TEST(FilesTest, OneByteOfTheWeightsOrOfTheClassMap) {
  const std::string folder = TestFolder("files");
  for (const std::string name : {"weights", "class_map"}) {
    const std::string path = folder + "/" + name, copy = folder + "/copy_of_" + name;
    MakeFile(path, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    fs::copy_file(path, copy);
    const std::string option = "model." + name + "=";
    EXPECT_EQ(ChangedBy({option + path}, {option + copy}), Names()) << "the path is no part of a result";
    FlipByte(copy, 4);
    EXPECT_EQ(ChangedBy({option + path}, {option + copy}), AllKeys());
  }
}

// Each part holds other tensors: their order changes nothing, another part does.
TEST(FilesTest, WeightsInSeveralFiles) {
  const std::string folder = TestFolder("parts");
  for (const std::string part : {"a", "b", "c"}) MakeFile(folder + "/" + part, part);
  const auto weights = [&](const std::string& one, const std::string& two) {
    return absl::StrCat("model.weights=[", folder, "/", one, ", ", folder, "/", two, "]");
  };
  EXPECT_EQ(ChangedBy({weights("a", "b")}, {weights("b", "a")}), Names());
  EXPECT_EQ(ChangedBy({weights("a", "b")}, {weights("a", "c")}), AllKeys());
  EXPECT_EQ(ChangedBy({weights("a", "b")}, {"model.weights=" + folder + "/a"}), AllKeys());
}

class ImagesTest : public testing::Test {
 protected:
  ImagesTest() {
    for (const char* split : {"train", "val"}) {
      for (int image = 0; image < 20; ++image) {
        const std::string path = Path(split, image);
        fs::create_directories(fs::path(path).parent_path());
        MakeFile(path, "some image");
      }
    }
    config_.dataset = "{name: image_folder, preset: deit, root: " + root_ + "}";
    config_.model.replace(config_.model.find("classes: 10"), 11, "classes: 2");
  }

  // Class 0 has the first ten.
  std::string Path(const std::string& split, int image) const {
    return absl::StrCat(root_, "/", split, "/", image / 10, "/", image % 10, ".png");
  }

  PlannedKeys Planned() const {
    PlannedKeys planned = KeysOf(config_.Yaml());
    EXPECT_TRUE(planned.status.ok()) << planned.status;
    return planned;
  }

  Names ChangedBy(const std::function<void()>& change) const {
    const PlannedKeys before = Planned();
    change();
    return Changed(before, Planned());
  }

  // Another file in its place, as an editor or a copy leaves it.
  void Replace(const std::string& path, const std::string& content) const {
    MakeFile(path + ".new", content);
    fs::last_write_time(path + ".new", fs::last_write_time(path) + std::chrono::seconds(1));
    fs::rename(path + ".new", path);
  }

  const std::string root_ = TestFolder("images");
  KeysConfig config_;
};

TEST_F(ImagesTest, OneThatIsReplaced) {
  // Eight images are fitted to, ten evaluated.
  EXPECT_EQ(ChangedBy([&] { Replace(Path("train", 7), "other image"); }), AfterCalibrate());
  EXPECT_EQ(ChangedBy([&] { Replace(Path("train", 7), "equal size!"); }), AfterCalibrate());
  EXPECT_EQ(ChangedBy([&] { Replace(Path("train", 8), "other image"); }), Names()) << "it is not read";
  const Names changed = ChangedBy([&] { Replace(Path("val", 9), "other image"); });
  EXPECT_TRUE(changed == kEvaluated || changed == Names({"float", "quantized", "compensated"})) << "as it is drawn";
  // An image added or removed moves those after it.
  EXPECT_EQ(ChangedBy([&] { MakeFile(root_ + "/train/0/00.png", "new image"); }), AfterCalibrate());
  EXPECT_EQ(ChangedBy([&] { fs::remove(root_ + "/train/0/00.png"); }), AfterCalibrate());
  EXPECT_EQ(ChangedBy([&] { fs::rename(Path("train", 1), root_ + "/train/0/1.jpeg"); }), AfterCalibrate());
  // A class more moves labels.
  EXPECT_EQ(ChangedBy([&] { fs::rename(root_ + "/val/0", root_ + "/val/2"); }), kEvaluated);
}

TEST_F(ImagesTest, TheFolderAndWhatIsKeptOfItAreNoMatter) {
  const PlannedKeys before = Planned();
  const std::string moved = TestFolder("moved");
  fs::rename(root_, moved);
  config_.dataset = "{name: image_folder, preset: deit, root: " + moved + "}";
  EXPECT_EQ(Changed(before, Planned()), Names());
}

TEST(IdxTest, OnePixelOrLabel) {
  const std::string root = IdxFolder("idx", '\1'), other = IdxFolder("other", '\1');
  const auto plan = [&](const std::string& folder) {
    KeysConfig config;
    config.dataset = "{name: fashion_mnist, preset: deit, root: " + folder + "}";
    PlannedKeys planned = KeysOf(config.Yaml());
    EXPECT_TRUE(planned.status.ok()) << planned.status;
    return planned;
  };
  const size_t header = 16, labels_header = 8, image = 28 * 28;
  EXPECT_EQ(Changed(plan(root), plan(other)), Names());
  FlipByte(other + "/train-images-idx3-ubyte", header + 8 * image);  // the ninth of eight
  EXPECT_EQ(Changed(plan(root), plan(other)), Names());
  FlipByte(other + "/train-images-idx3-ubyte", header + 8 * image - 1);
  EXPECT_EQ(Changed(plan(root), plan(other)), AfterCalibrate());
  for (const char* file : {"/t10k-labels-idx1-ubyte", "/t10k-images-idx3-ubyte"}) {
    const bool label = std::string(file).find("labels") != std::string::npos;
    const std::string changed = IdxFolder(absl::StrCat("changed", label), '\1');
    FlipByte(changed + file, label ? labels_header : header);
    Names names = Changed(plan(root), plan(changed));
    names.erase("diagnose");  // as it is drawn
    EXPECT_EQ(names, Names({"float", "quantized", "compensated"}));
  }
}

// Equal images at other places in the split: what augmentation draws for them is another thing.
TEST(IdxTest, AugmentationIsOfTheImagesPlaces) {
  KeysConfig config;
  config.dataset = "{name: fashion_mnist, preset: deit, root: " + IdxFolder("equal", '\1') + "}";
  const auto changed = [&](const std::string& transform) {
    const PlannedKeys first = KeysOf(config.Yaml(), {"fit.order=first", "fit.transform=" + transform});
    const PlannedKeys random = KeysOf(config.Yaml(), {"fit.order=random", "fit.transform=" + transform});
    EXPECT_TRUE(first.status.ok()) << first.status;
    return Changed(first, random);
  };
  EXPECT_EQ(changed("train"), OfFitImages());
  EXPECT_EQ(ChangedBy({}, {"fit.order=random"}), OfFitImages());
}

TEST(OrderTest, OfListsWhereItMatters) {
  const std::string percentile = "quantize.method=percentile";
  EXPECT_EQ(ChangedBy({percentile, "quantize.percentiles=[0.99, 0.999]"}, {"quantize.percentiles=[0.999, 0.99]"}),
            AfterCalibrate())
      << "of equally good ones the first is taken";
  const std::string all = "{match: '*', weight_bits: 5}", head = "{match: head, weight_bits: 6}";
  EXPECT_EQ(
      ChangedBy({"quantize.overrides=[" + all + ", " + head + "]"}, {"quantize.overrides=[" + head + ", " + all + "]"}),
      AfterCalibrate())
      << "a later one over an earlier";
  EXPECT_EQ(ChangedBy({}, {"evaluate.models=[compensated, float, quantized]"}), Names()) << "each is run by itself";
}

TEST(SpellingTest, OfAValueIsNoMatter) {
  const std::vector<std::string> base = {"fit.ridge=0.1", "fit.gate=held_out", "quantize.method=percentile"};
  EXPECT_EQ(ChangedBy(base, {"fit.ridge=1e-1", "quantize.percentiles=[0.9990, 9.999e-1, 0.99999]", "seed=0",
                             "fit.held_out_fraction=0.250", "quantize.weight_bits=4", "fit.method=qwt",
                             "quantize.overrides=[]", "runtime.batch_size=16"}),
            Names())
      << "written out, they are the defaults";
  EXPECT_EQ(ChangedBy(base, {"fit.ridge=0.10000000000000002"}), AfterFit()) << "the next double";
}

TEST(MachineTest, ThreadsAndRanksAreNoMatterAndAnotherDeviceIs) {
  // Without a GPU nobody can say how much memory it has free.
  const std::vector<std::string> base = {"runtime.batch_size=8", "runtime.cache_bytes=1MB"};
  const PlannedKeys one = Plan(base);
  for (const Placement& placement : {Placement{2, 2}, Placement{3, 1}, Placement{8, 8}}) {
    EXPECT_EQ(Changed(one, Plan(base, placement)), Names());
  }
  EXPECT_EQ(Changed(one, Plan({base[0], base[1], "runtime.threads=7"}, {2, 2})), Names());
  const Placement gpu{1, 1, at::Device(at::kCUDA, 0)}, second{2, 2, at::Device(at::kCUDA, 1)};
  EXPECT_EQ(Changed(one, Plan(base, gpu)), AllKeys());
  EXPECT_EQ(Changed(Plan(base, gpu), Plan(base, second)), Names());
}

// A later stage replaces the quantised model that an earlier one has made: the compensation that went with it must not
// lend its key to what is evaluated then.
TEST(StagesTest, ACompensationEndsWithItsQuantisedModel) {
  const PlannedKeys again =
      KeysOf(KeysConfig().Yaml(), {"stages=[load, calibrate, quantize, fit, quantize, evaluate]"});
  EXPECT_EQ(again.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(again.status.message()),
              HasSubstr("the quantised model has no compensation: leave out compensated"));
  const PlannedKeys twice =
      KeysOf(KeysConfig().Yaml(), {"stages=[load, calibrate, quantize, fit, quantize, fit, evaluate]"});
  EXPECT_TRUE(twice.status.ok()) << twice.status;
}

// What a run makes without storing it is part of its plan all the same.
TEST(StagesTest, APlanOfStagesThatStoreNothing) {
  const std::string folder = TestFolder("load_only");
  MakeFile(folder + "/other", "other weights");
  const PlannedKeys before = Plan({"stages=[load]"});
  EXPECT_EQ(before.keys.size(), 0);
  EXPECT_NE(before.hash, Plan({"stages=[load]", "model.weights=" + folder + "/other"}).hash);
  EXPECT_EQ(before.hash, Plan({"stages=[load]", "runtime.threads=3"}).hash);
}

}  // namespace
}  // namespace qwt
