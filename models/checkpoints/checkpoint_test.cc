#include "models/checkpoints/checkpoint.h"

#include <utility>

#include "ATen/ops/equal.h"
#include "ATen/ops/tensor.h"
#include "core/base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/checkpoints/zip_writer.h"

namespace qwt {
namespace {

using ::testing::StartsWith;

constexpr char kGolden[] = "tests/golden/checkpoints/";

// The file's content under a name that says nothing about the format.
absl::StatusOr<Checkpoint> Parse(const std::string& bytes) {
  return ParseCheckpoint(MappedFile::FromBytes(bytes), "weights");
}

std::string ErrorOf(const std::string& bytes) {
  const absl::Status status = Parse(bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  return std::string(status.message());
}

TEST(CheckpointTest, TheContentTellsTheFormat) {
  const auto expected = ReadSafetensors(std::string(kGolden) + "mini.safetensors");
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const auto& [file, format] : std::vector<std::pair<std::string, std::string>>{
           {"mini.safetensors", "safetensors"},
           {"mini.pth", "PyTorch zip"},
           {"mini_legacy.pth", "PyTorch legacy"},
           {"mini.npz", "NumPy npz"},
       }) {
    const auto checkpoint = Parse(*ReadFile(kGolden + file));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(checkpoint->format, format);
    ASSERT_EQ(checkpoint->tensors.size(), 2) << file;
    for (const auto& [name, tensor] : expected->tensors) {
      EXPECT_TRUE(at::equal(checkpoint->tensors.at(name), tensor)) << file << " " << name;
    }
  }
}

// A header of 640 = 0x280 bytes: the file begins with 80 02, as pickles do.
TEST(CheckpointTest, ALengthThatLooksLikeAPickle) {
  std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(0x280, ' ');
  const auto checkpoint = Parse(Number(header.size(), 8) + header + std::string("\0\0\200\77", 4));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->format, "safetensors");
  EXPECT_EQ(checkpoint->tensors.at("x").item<float>(), 1);
  header[0] = '[';
  EXPECT_EQ(ErrorOf(Number(header.size(), 8) + header), "weights: the header does not begin with '{'");
}

TEST(CheckpointTest, FilesThatAreNotThere) {
  EXPECT_EQ(ReadCheckpoint("/nowhere/weights.pth").status(),
            absl::NotFoundError("read '/nowhere/weights.pth': No such file or directory"));
}

TEST(CheckpointTest, WhatIsNoCheckpoint) {
  EXPECT_EQ(ErrorOf(""), "weights: is empty: fetch it again");
  EXPECT_EQ(ErrorOf("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
            "weights: is a Git LFS pointer, not the file itself: run `git lfs pull`");
  EXPECT_EQ(ErrorOf("\x1f\x8b\x08"), "weights: is compressed with gzip: unpack it with `gunzip`");
  EXPECT_EQ(ErrorOf("BZh91AY"), "weights: is compressed with bzip2: unpack it with `bunzip2`");
  EXPECT_EQ(ErrorOf("\xfd"
                    "7zXZ"),
            "weights: is compressed with xz: unpack it with `unxz`");
  EXPECT_EQ(ErrorOf("\x28\xb5\x2f\xfd"), "weights: is compressed with zstd: unpack it with `unzstd`");
  EXPECT_EQ(ErrorOf("\x89HDF\r\n\x1a\n"),
            "weights: is an HDF5 file, as Keras and PyTables write them: save its arrays as .npz");
  EXPECT_EQ(ErrorOf("\x93NUMPY\x01"), "weights: is a single .npy array, which has no name: save all arrays as .npz");
  EXPECT_THAT(ErrorOf("GGUF"), StartsWith("weights: is a GGUF file, whose weights are quantised already"));
  EXPECT_EQ(ErrorOf(std::string("\x08\x08\x12\x07pytorch\x1a\x03", 13)),
            "weights: is an ONNX model: take the weights it was exported from, as .pth or .safetensors");
  EXPECT_THAT(ErrorOf(*ReadFile(std::string(kGolden) + "hostile/tar_container.pth.tar")),
              StartsWith("weights: is a tar archive: unpack it with `tar -xf`"));
  EXPECT_EQ(ErrorOf(std::string("\xff\0\0\0\0\0\0\0\1", 9)),
            "weights: is of no format that is read: safetensors, PyTorch (.pth) and NumPy (.npz). Its 9 bytes begin "
            "with '\\xff\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01'");
}

TEST(CheckpointTest, WhatServersSayInPlaceOfAFile) {
  const std::string advice = ". What a server says in place of a file looks so: fetch it again";
  EXPECT_EQ(
      ErrorOf("\n<html><body>404 Not Found</body></html>\n"),
      "weights: is a web page, no checkpoint; it begins with '<html><body>404 Not Found</body></html>\\n'" + advice);
  EXPECT_EQ(ErrorOf(R"({"error":"gated"})"),
            "weights: is JSON, no checkpoint; it begins with '{\\\"error\\\":\\\"gated\\\"}'" + advice);
  EXPECT_EQ(ErrorOf(R"(        {"error":"gated"})"),
            "weights: is JSON, no checkpoint; it begins with '{\\\"error\\\":\\\"gated\\\"}'" + advice);
  EXPECT_EQ(ErrorOf("Access denied"), "weights: is text, no checkpoint; it begins with 'Access denied'" + advice);
}

TEST(CheckpointTest, ZipsOfSomethingElse) {
  EXPECT_EQ(ErrorOf(MakeZip({})), "weights: is a zip archive without entries");
  const std::string neither =
      "weights: is a zip archive with neither a data.pkl, as PyTorch's have, nor .npy arrays; it has ";
  EXPECT_EQ(ErrorOf(MakeZip({{"a.pth", "x"}})), neither + "'a.pth'. If the checkpoint is inside, unpack it");
  EXPECT_EQ(ErrorOf(MakeZip({{"a", "x"}, {"b\n", "x"}, {"c", "x"}, {"d", "x"}})),
            neither + "'a', 'b\\n', 'c', …. If the checkpoint is inside, unpack it");
  EXPECT_EQ(ErrorOf("PK\3\4"), "weights: a zip archive without its end record: the file is cut short");
}

TEST(CheckpointTest, ReadersErrorsNameTheFile) {
  const std::string path = testing::TempDir() + "/weights";
  ASSERT_EQ(WriteFileAtomically(path, MakeZip({{"x.npy", "no array"}})), absl::OkStatus());
  EXPECT_EQ(ReadCheckpoint(path).status(),
            absl::DataLossError(path + ": entry 'x.npy': is no .npy array: it does not begin with \\x93NUMPY"));
}

}  // namespace
}  // namespace qwt
