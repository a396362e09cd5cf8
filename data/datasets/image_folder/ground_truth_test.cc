#include "data/datasets/image_folder/ground_truth.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using Texts = std::vector<std::string>;

const Texts kClasses = {"n01", "n02", "n03", "n10"};

// The labels that the images get, or the error; and the classes.
std::string Label(const std::string& text, const Texts& names = {"a.JPEG", "b.JPEG", "c.JPEG"},
                  const Texts& classes = kClasses, const std::string& order_text = "", Texts* result = nullptr) {
  ImageIndexBuilder images;
  for (const std::string& name : names) images.Add(name, 1, 0);
  const absl::StatusOr<GroundTruth> list = ParseGroundTruth(text, "list");
  if (!list.ok()) return std::string(list.status().message());
  ClassOrder order;
  if (!order_text.empty()) {
    const absl::StatusOr<ClassOrder> parsed = ParseClassOrder(order_text, "order");
    if (!parsed.ok()) return std::string(parsed.status().message());
    order = *parsed;
  }
  const absl::StatusOr<Texts> numbered = LabelImages(*list, order, classes, "val", &images);
  if (!numbered.ok()) {
    EXPECT_EQ(numbered.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(numbered.status().message());
  }
  if (result != nullptr) *result = *numbered;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < images.size(); ++i) labels.push_back(images[i].label);
  return absl::StrJoin(labels, " ");
}

TEST(GroundTruthTest, Kaggle) {
  const std::string header = "ImageId,PredictionString\n";
  const Texts names = {"ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"};
  EXPECT_EQ(
      Label(header + "ILSVRC2012_val_00000002,n03 85 1 499 272\nILSVRC2012_val_00000001,n01 1 2 3 4 n01 5 6 7 8\n",
            names),
      "0 2");
  EXPECT_EQ(Label("ImageId,PredictionString\r\nILSVRC2012_val_00000002,n03 85 1 499 272 \r\n"
                  "ILSVRC2012_val_00000001,n10 1 2 3 4\r\n\r\n",
                  names),
            "3 2");
  EXPECT_EQ(
      Label(header + "ILSVRC2012_val_00000002 n03", names),
      "list:2: 'ILSVRC2012_val_00000002 n03': expected is IMAGE,CLASS as after the header ImageId,PredictionString");
  EXPECT_EQ(Label(header + "ILSVRC2012_val_00000002,", names),
            "list:2: 'ILSVRC2012_val_00000002,': expected is IMAGE,CLASS as after the header ImageId,PredictionString");
  EXPECT_EQ(Label(header, names), "list: no labels in it");
}

TEST(GroundTruthTest, Caffe) {
  EXPECT_EQ(Label("b.JPEG 3\na.JPEG 0\nc.JPEG 1"), "0 3 1");
  EXPECT_EQ(Label("val/b.JPEG 3\nval/a.JPEG 0\nval/c.JPEG 1"), "0 3 1");
  EXPECT_EQ(Label("b.JPEG n10\na.JPEG\tn01\nc.JPEG n02\n"), "0 3 1");
  EXPECT_EQ(Label("b.JPEG 3\na.JPEG 2\nc.JPEG 1"), "2 3 1");  // a part of a list need not have every class
  EXPECT_EQ(Label("b.JPEG 3\na.JPEG 0 7\nc.JPEG 1"),
            "list:2: 'a.JPEG 0 7': expected is IMAGE CLASS, as in the first line");
}

TEST(GroundTruthTest, ALabelALine) {
  EXPECT_EQ(Label("n02\nn10\nn02\n"), "1 3 1");
  EXPECT_EQ(Label("3\n0\n2\n"), "3 0 2");
  EXPECT_EQ(Label("3\n\n2\n"),
            "list:2: '': expected is one class, or IMAGE CLASS, or a header ImageId,PredictionString");
  EXPECT_EQ(Label("a b c\n"),
            "list:1: 'a b c': expected is one class, or IMAGE CLASS, or a header ImageId,PredictionString");
  EXPECT_EQ(Label("3\nn01\n2\n"), "list:2: 'n01' is no number, as the class in the first line is");
  EXPECT_EQ(Label(""), "list: no labels in it");
}

TEST(GroundTruthTest, ClassesWithoutTrainingImages) {
  Texts classes;
  EXPECT_EQ(Label("n02\nn10\nn02\n", {"a.jpg", "b.jpg", "c.jpg"}, {}, "", &classes), "0 1 0");
  EXPECT_EQ(classes, (Texts{"n02", "n10"}));
  EXPECT_EQ(Label("2\n0\n2\n", {"a.jpg", "b.jpg", "c.jpg"}, {}, "", &classes), "2 0 2");
  EXPECT_EQ(classes, (Texts{"0", "1", "2"}));
  EXPECT_EQ(Label("2\n1\n2\n", {"a.jpg", "b.jpg", "c.jpg"}, {}, "n03 c\nn01 a\n", &classes), "0 1 0");
  EXPECT_EQ(classes, (Texts{"n01", "n03"}));
}

TEST(GroundTruthTest, NumbersFromOneNeedAnOrder) {
  const std::string what =
      ": counted from 1, so that they are not places in the sorted order of the classes, as with the devkit's "
      "ILSVRC2012_validation_ground_truth.txt, which has an order of its own; name that order with "
      "ground_truth_classes, a file whose line k begins with the WordNet id of number k";
  EXPECT_EQ(Label("4\n1\n3\n"), "list: class numbers run from 1 to 4" + what);
  EXPECT_EQ(Label("3\n1\n2\n"), "list: class numbers run from 1 to 3" + what);  // a part of one
  EXPECT_EQ(Label("a.JPEG 4\nb.JPEG 1\nc.JPEG 3\n"), "list: class numbers run from 1 to 4" + what);
  EXPECT_EQ(Label("a.JPEG 3\nb.JPEG 1\nc.JPEG 3\n", {"a.JPEG", "b.JPEG", "c.JPEG"}, {}),
            "list: class numbers run from 1 to 3" + what);
  const std::string order = "n10 tench\nn03 shark\r\nn01\nn02 goldfish, Carassius auratus\n";
  const Texts names = {"a.JPEG", "b.JPEG", "c.JPEG"};
  EXPECT_EQ(Label("4\n1\n3\n", names, kClasses, order), "1 3 0");
  EXPECT_EQ(Label("c.JPEG 4\nb.JPEG 1\na.JPEG 2\n", names, kClasses, order), "2 3 1");
  EXPECT_EQ(Label("4\n0\n3\n", names, kClasses, order),
            "list:2: class number 0; must be from 1 to 4, the lines of 'order'");
  EXPECT_EQ(Label("4\n1\n5\n", names, kClasses, order),
            "list:3: class number 5; must be from 1 to 4, the lines of 'order'");
  EXPECT_EQ(Label("1\n1\n1\n", names, kClasses, "n01\nn04\n"),
            "order:2: 'n04' is none of the 4 classes of the training images");
  EXPECT_EQ(Label("1\n1\n1\n", names, kClasses, "n01\nn02\nn01\n"), "order:3: 'n01' stands in line 1 too");
  EXPECT_EQ(Label("1\n1\n1\n", names, kClasses, "n01\n\nn02\n"),
            "order:2: an empty line; expected is the WordNet id of class 2");
  EXPECT_EQ(Label("n01\nn01\nn01\n", names, kClasses, order),
            "list: has names of classes, not numbers: ground_truth_classes ('order') is of no use; leave it out");
}

TEST(GroundTruthTest, FoldersNamedByNumbersAreNames) {
  EXPECT_EQ(Label("10\n2\n1\n", {"a.jpg", "b.jpg", "c.jpg"}, {"1", "10", "2", "9"}), "1 2 0");
}

TEST(GroundTruthTest, ClassesThatAreNone) {
  EXPECT_EQ(Label("n02\nn11\nn02\n"), "list:2: 'n11' is none of the 4 classes of the training images");
  EXPECT_EQ(Label("0\n1\n4\n"), "list:3: class number 4; must be from 0 to 3");
  EXPECT_EQ(Label("0\n-1\n2\n"), "list:2: class number -1; must be from 0 to 3");
  EXPECT_EQ(Label("0\n9000000000000000000\n2\n", {"a.jpg", "b.jpg", "c.jpg"}, {}),
            "list:2: class number 9000000000000000000; must be from 0 to 999999");
}

TEST(GroundTruthTest, LabelsAndImagesMustMatch) {
  EXPECT_EQ(Label("n02\nn10\n"), "list:2: the list ends here, and image 'c.JPEG' of 'val' (3 images) has no label");
  EXPECT_EQ(Label("n02\nn10\nn01\nn01\n"), "list:4: a label without an image: 'val' has 3");
  EXPECT_EQ(Label("a.JPEG 0\nb.JPEG 1\n"), "list: no label for image 'c.JPEG' of 'val'");
  EXPECT_EQ(Label("a.JPEG 0\nb.JPEG 1\nc.JPEG 1\nd.JPEG 1\n"),
            "list:4: a label without an image: there is no 'd.JPEG' in 'val'");
  EXPECT_EQ(Label("a.JPEG 0\nb.JPEG 1\nc.JPEG 1\na.JPEG 1\n"), "list:4: image 'a.JPEG' stands in line 1 too");
  EXPECT_EQ(Label("a 0\nb 1\nc 1", {"a.JPEG", "b.JPEG", "b.png"}), "list:2: 'b' may be image 'b.JPEG' or 'b.png'");
}

}  // namespace
}  // namespace qwt
