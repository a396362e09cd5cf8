#include "core/tensor/safetensors.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::string Path(const std::string& name) { return ::testing::TempDir() + name; }

// A tensor whose bytes count up from `first`.
at::Tensor Counting(at::IntArrayRef shape, at::ScalarType type, int first = 1) {
  at::Tensor tensor = at::empty(shape, type);
  auto* bytes = static_cast<unsigned char*>(tensor.mutable_data_ptr());
  for (size_t i = 0; i < tensor.nbytes(); ++i) bytes[i] = type == at::kBool ? (first + i) % 2 : first + i;
  return tensor;
}

bool SameBytes(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

std::string FileOf(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  for (int i = 0; i < 8; ++i) file[i] = static_cast<char>(uint64_t{header.size()} >> (8 * i));
  return file + header + data;
}

const std::vector<at::ScalarType> kAllTypes = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                                               at::kInt,    at::kShort, at::kChar, at::kByte,     at::kBool};

TEST(SafetensorsTest, EveryDtypeComesBackAlignedAndEqual) {
  TensorFile file;
  for (at::ScalarType type : kAllTypes) file.tensors[c10::toString(type)] = Counting({3, 5}, type);
  file.tensors["scalar"] = Counting({}, at::kFloat);
  file.tensors["empty"] = Counting({0, 4}, at::kHalf);
  file.metadata = {{"note", "first line\nsecond \"quoted\" é"}};
  const std::string path = Path("all.safetensors");
  ASSERT_EQ(WriteSafetensors(path, file), absl::OkStatus());

  absl::StatusOr<TensorFile> read = ReadSafetensors(path);
  ASSERT_EQ(read.status(), absl::OkStatus());
  EXPECT_EQ(read->metadata, file.metadata);
  ASSERT_EQ(read->tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    EXPECT_TRUE(SameBytes(read->tensors.at(name), tensor)) << name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read->tensors.at(name).const_data_ptr()) % tensor.element_size(), 0) << name;
  }
}

TEST(SafetensorsTest, BytesDependOnTheContentAlone) {
  TensorFile file;
  file.tensors["b"] = Counting({2}, at::kFloat);
  file.tensors["a"] = Counting({3}, at::kByte);
  file.metadata["k"] = "v";
  const std::string path = Path("bytes.safetensors");
  ASSERT_EQ(WriteSafetensors(path, file), absl::OkStatus());
  // The header's 123 bytes are padded to 128; the wider item comes first in the data.
  std::string header =
      "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"data_offsets\":[8,11],\"dtype\":\"U8\",\"shape\":[3]},"
      "\"b\":{\"data_offsets\":[0,8],\"dtype\":\"F32\",\"shape\":[2]}}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  EXPECT_EQ(*ReadFile(path), FileOf(header, "\1\2\3\4\5\6\7\10\1\2\3"));
}

TEST(SafetensorsTest, UnalignedDataIsCopied) {
  const std::string path = Path("unaligned.safetensors");
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  ASSERT_EQ(WriteFileAtomically(path, FileOf(header, std::string("\1\0\0\200\77", 5))), absl::OkStatus());
  absl::StatusOr<TensorFile> read = ReadSafetensors(path);
  ASSERT_EQ(read.status(), absl::OkStatus());
  EXPECT_EQ(read->tensors.at("b").item<float>(), 1.0f);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read->tensors.at("b").const_data_ptr()) % 4, 0);
}

TEST(SafetensorsTest, TensorsOutliveTheFileAndWritingToThemDoesNotChangeIt) {
  const std::string path = Path("alive.safetensors");
  ASSERT_EQ(WriteSafetensors(path, {{{"a", Counting({4}, at::kInt)}, {"b", Counting({4}, at::kInt, 77)}}, {}}),
            absl::OkStatus());
  const std::string before = *ReadFile(path);
  at::Tensor tensor = ReadSafetensors(path)->tensors.at("a");
  tensor.fill_(5);
  EXPECT_EQ(*ReadFile(path), before);
  std::filesystem::remove(path);
  EXPECT_EQ(tensor[3].item<int>(), 5);
}

TEST(SafetensorsTest, FilesThatAreNotThereOrNoFiles) {
  EXPECT_EQ(ReadSafetensors("/nowhere/a.safetensors").status(),
            absl::NotFoundError("read '/nowhere/a.safetensors': No such file or directory"));
  EXPECT_EQ(ReadSafetensors("/").status(), absl::UnavailableError("read '/': Is a directory"));
  EXPECT_EQ(ReadSafetensors("/dev/null").status(), absl::UnavailableError("read '/dev/null': Invalid argument"));
}

TEST(SafetensorsTest, WritingRefusesWhatTheFormatCannotHold) {
  EXPECT_EQ(WriteSafetensors("x", {{{"a", at::Tensor()}}, {}}),
            absl::InvalidArgumentError("x: tensor 'a': is undefined"));
  EXPECT_EQ(WriteSafetensors("x", {{{"a", Counting({2, 3}, at::kFloat).t()}}, {}}),
            absl::InvalidArgumentError("x: tensor 'a': is not contiguous"));
  EXPECT_EQ(WriteSafetensors("x", {{{"__metadata__", Counting({1}, at::kFloat)}}, {}}),
            absl::InvalidArgumentError("x: tensor '__metadata__': this name is reserved by the format"));
  EXPECT_EQ(
      WriteSafetensors("x", {{{"a", at::empty({1}, at::kComplexFloat)}}, {}}),
      absl::InvalidArgumentError("x: tensor 'a': has dtype ComplexFloat; can be written: F64, F32, F16, BF16, I64, "
                                 "I32, I16, I8, U8, BOOL"));
}

struct Hostile {
  std::string content;
  std::string message;  // after "PATH: "; matched as a prefix, since the text of JSON errors is the library's
};

std::string OneTensor(const std::string& fields, int data_bytes) {
  return FileOf("{\"x\":{" + fields + "}}", std::string(data_bytes, '\0'));
}

class HostileTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileTest, IsDataLossNamingFileAndTensor) {
  const std::string path = Path("hostile.safetensors");
  ASSERT_EQ(WriteFileAtomically(path, GetParam().content), absl::OkStatus());
  const absl::Status status = ReadSafetensors(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  const std::string expected = path + ": " + GetParam().message;
  EXPECT_EQ(std::string(status.message()).substr(0, expected.size()), expected) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Frames, HostileTest,
    ::testing::Values(
        Hostile{"", "has 0 bytes, too few for a safetensors file"},
        Hostile{"1234567", "has 7 bytes, too few for a safetensors file"},
        Hostile{std::string(12, '\0'), "header length 0 is not between 1 and 4"},
        Hostile{std::string("\3\0\0\0\0\0\0\0{}", 10), "header length 3 is not between 1 and 2"},
        Hostile{std::string(8, '\377') + "{}", "header length 18446744073709551615 is not between 1 and 2"},
        Hostile{std::string("\0\0\0\0\0\0\0\200{}", 10), "header length 9223372036854775808 is not between 1 and 2"},
        Hostile{FileOf("[1,2]", ""), "the header does not begin with '{'"},
        Hostile{FileOf(" {}", ""), "the header does not begin with '{'"},
        Hostile{FileOf("{\"x\":", ""), "the header is not valid: [json.exception.parse_error.101]"},
        Hostile{FileOf("{}{}", ""), "the header is not valid: [json.exception.parse_error.101]"},
        Hostile{FileOf("{\"\303(\":1}", ""), "the header is not valid: [json.exception.parse_error.101]"},
        Hostile{FileOf("{\"x\":" + std::string(60000, '['), ""),
                "the header is not valid: nested deeper than 4 levels"},
        Hostile{FileOf(R"({"x":{},"x":{}})", ""), "the header has the key 'x' twice"},
        Hostile{FileOf(R"({"__metadata__":3})", ""), "__metadata__ is not a JSON object"},
        Hostile{FileOf(R"({"__metadata__":{"epoch":3}})", ""), "__metadata__: the value of 'epoch' is not a string"},
        Hostile{FileOf("{}", "1234"), "4 bytes after the last tensor belong to none"}));

INSTANTIATE_TEST_SUITE_P(
    Tensors, HostileTest,
    ::testing::Values(
        Hostile{FileOf(R"({"x":[]})", ""), "tensor 'x': is not described by a JSON object"},
        Hostile{OneTensor(R"("shape":[1],"data_offsets":[0,4])", 4), "tensor 'x': has no 'dtype'"},
        Hostile{OneTensor(R"("dtype":"F32","data_offsets":[0,4])", 4), "tensor 'x': has no 'shape'"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1])", 4), "tensor 'x': has no 'data_offsets'"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4])", 4),
                "the header has the key 'shape' twice"},
        Hostile{OneTensor(R"("dtype":"F33","shape":[1],"data_offsets":[0,4])", 4),
                "tensor 'x': unknown dtype \"F33\"; there are F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"},
        Hostile{OneTensor(R"("dtype":"F32","shape":4,"data_offsets":[0,4])", 4),
                "tensor 'x': shape 4 is not a list of sizes"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[-1,-1],"data_offsets":[0,4])", 4),
                "tensor 'x': shape [-1,-1] is not a list of sizes"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])", 4),
                "tensor 'x': shape [1.0] is not a list of sizes"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[9223372036854775808,0],"data_offsets":[0,0])", 0),
                "tensor 'x': shape [9223372036854775808,0] is not a list of sizes"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[12],"data_offsets":[0,48])", 40),
                "tensor 'x': data [0, 48) ends past the file's 40 bytes of data"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])", 4),
                "tensor 'x': data_offsets [4,0] are not [begin, end] with begin <= end"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])", 4),
                "tensor 'x': data_offsets [-4,0] are not [begin, end] with begin <= end"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,4])", 4),
                "tensor 'x': data_offsets [0,4,4] are not [begin, end] with begin <= end"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551620])", 4),
                "tensor 'x': data_offsets [0,1.8446744073709552e+19] are not [begin, end] with begin <= end"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,16])", 16),
                "tensor 'x': data [0, 16) holds 16 bytes, F32 [3] needs 12"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])", 0),
                "tensor 'x': shape [4294967296,4294967296] has more bytes than 64 bits can count"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[4611686018427387907],"data_offsets":[0,12])", 12),
                "tensor 'x': shape [4611686018427387907] has more bytes than 64 bits can count"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])", 8),
                "tensor 'x': data [4, 8) leaves a hole from 0"},
        Hostile{OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])", 6),
                "2 bytes after the last tensor belong to none"},
        Hostile{FileOf(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                       R"("y":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                       "123456"),
                "tensor 'y': data [2, 6) overlaps another tensor's, which ends at 4"},
        Hostile{FileOf(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                       R"("y":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                       "1234"),
                "tensor 'y': data [0, 4) overlaps another tensor's, which ends at 4"}));

// A parser whose time grows with the square of the entries would not be done within the test's time limit.
TEST(SafetensorsTest, AHundredThousandTensors) {
  std::string header = "{";
  constexpr int kTensors = 100'000;
  for (int i = 0; i < kTensors; ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "\"t", i, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[", i,
                    ",", i + 1, "]}");
  }
  const std::string bytes = FileOf(header + "}", std::string(kTensors, 'x'));
  const auto file = ParseSafetensors(MappedFile::FromBytes(bytes), "many");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors.size(), kTensors);
}

}  // namespace
}  // namespace qwt
