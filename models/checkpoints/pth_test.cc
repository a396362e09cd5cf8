#include "models/checkpoints/pth.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/mapped_file.h"
#include "core/tensor/copy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/checkpoints/pickle_writer.h"
#include "models/checkpoints/zip.h"
#include "models/checkpoints/zip_writer.h"

namespace qwt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr int64_t kElements = 12;  // of every storage here, floats that count up from 0

std::string Floats() {
  std::string bytes(kElements * sizeof(float), '\0');
  for (int i = 0; i < kElements; ++i) {
    const float value = static_cast<float>(i);
    std::memcpy(&bytes[i * sizeof(float)], &value, sizeof(value));
  }
  return bytes;
}

std::string Tuple(const std::vector<int64_t>& numbers) {
  std::string opcodes = "(";
  for (int64_t number : numbers) opcodes += PickleInteger(number);
  return opcodes + "t";
}

// A persistent id; `part` is the sixth item that legacy files have, or "".
std::string Storage(const std::string& key, const std::string& part = "", const std::string& type = "FloatStorage") {
  return "(" + PickleString("storage") + PickleGlobalName("torch", type) + PickleString(key) + PickleString("cpu") +
         PickleInteger(kElements) + part + "tQ";
}

std::string Tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& sizes,
                   const std::vector<int64_t>& strides) {
  return PickleGlobalName("torch._utils", "_rebuild_tensor_v2") + "(" + storage + PickleInteger(offset) + Tuple(sizes) +
         Tuple(strides) + B("\x89") + PickleGlobalName("collections", "OrderedDict") + ")RtR";
}

const std::string kVector = Tensor(Storage("0"), 0, {kElements}, {1});

std::string Parameter(const std::string& tensor) {
  return PickleGlobalName("torch._utils", "_rebuild_parameter") + "(" + tensor + B("\x88") +
         PickleGlobalName("collections", "OrderedDict") + ")RtR";
}

std::string Dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string opcodes = "}(";
  for (const auto& [name, value] : items) opcodes += PickleString(name) + value;
  return opcodes + "u";
}

absl::StatusOr<TensorMap> ReadArchive(const std::vector<ZipEntry>& entries) {
  const absl::StatusOr<ZipArchive> archive = ZipArchive::Open(MappedFile::FromBytes(MakeZip(entries)), "f.pth");
  if (!archive.ok()) return archive.status();
  return ReadZipPth(*archive, "f.pth");
}

// An archive of this object and two storages.
absl::StatusOr<TensorMap> ReadObject(const std::string& object) {
  return ReadArchive({{"f/data.pkl", PickleOf(object)}, {"f/data/0", Floats()}, {"f/data/1", Floats()}});
}

std::string Message(const absl::StatusOr<TensorMap>& read) { return std::string(read.status().message()); }

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor contiguous = AlignedCopy(tensor);
  const auto* data = contiguous.const_data_ptr<float>();
  return {data, data + contiguous.numel()};
}

// A legacy file; its first storage's elements begin at a byte which is `alignment` modulo 64.
std::string Legacy(const std::string& object, const std::vector<std::string>& keys, int alignment = 0) {
  const std::string head =
      PickleOf(B("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) + PickleOf(PickleInteger(1001)) + PickleOf("}");
  std::string list = "](";
  for (const std::string& key : keys) list += PickleString(key);
  list += "e";
  std::string file;
  for (int padding = 0; padding < 64; ++padding) {  // strings that are popped again
    file = head + PickleOf(PickleString(std::string(padding, ' ')) + "0" + object) + PickleOf(list);
    if ((file.size() + sizeof(int64_t)) % 64 == static_cast<size_t>(alignment)) break;
  }
  for (size_t i = 0; i < keys.size(); ++i) file += Number(kElements, 8) + Floats();
  return file;
}

absl::StatusOr<TensorMap> ReadLegacy(const std::string& bytes) {
  return ReadLegacyPth(MappedFile::FromBytes(bytes), "f.pth");
}

TEST(PthTest, TensorsAreViewsWithTheirStrides) {
  const absl::StatusOr<TensorMap> read =
      ReadObject(Dict({{"all", kVector},
                       {"transposed", Tensor(Storage("0"), 1, {2, 3}, {1, 4})},
                       {"column", Tensor(Storage("0"), 2, {3}, {4})},
                       {"repeated", Tensor(Storage("0"), 5, {3, 2}, {0, 0})},
                       {"scalar", Tensor(Storage("0"), 11, {}, {})},
                       {"empty", Tensor(Storage("0"), INT64_MAX, {0, 5}, {INT64_MAX, 1})}}));
  ASSERT_EQ(read.status(), absl::OkStatus());
  EXPECT_THAT(Values(read->at("transposed")), ElementsAre(1, 5, 9, 2, 6, 10));
  EXPECT_THAT(read->at("transposed").strides().vec(), ElementsAre(1, 4));
  EXPECT_THAT(Values(read->at("column")), ElementsAre(2, 6, 10));
  EXPECT_THAT(Values(read->at("repeated")), ElementsAre(5, 5, 5, 5, 5, 5));
  EXPECT_THAT(Values(read->at("scalar")), ElementsAre(11));
  EXPECT_THAT(read->at("empty").sizes().vec(), ElementsAre(0, 5));
  const auto* base = read->at("all").const_data_ptr<float>();
  EXPECT_EQ(read->at("column").const_data_ptr<float>(), base + 2);
  EXPECT_EQ(read->at("repeated").const_data_ptr<float>(), base + 5);
}

TEST(PthTest, StoragesAreNotCopiedAlignedOrNot) {
  for (int alignment : {0, 4, 1, 2, 63}) {
    const auto file = MappedFile::FromBytes(Legacy(
        Dict({{"a", Tensor(Storage("0", "N"), 0, {kElements}, {1})}, {"b", Tensor(Storage("0", "N"), 3, {4}, {2})}}),
        {"0"}, alignment));
    const absl::StatusOr<TensorMap> read = ReadLegacyPth(file, "f.pth");
    ASSERT_EQ(read.status(), absl::OkStatus());
    const auto* a = static_cast<const char*>(read->at("a").const_data_ptr());
    EXPECT_EQ(a, file->data() + file->size() - Floats().size()) << alignment;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 64, alignment);
    EXPECT_EQ(static_cast<const char*>(read->at("b").const_data_ptr()), a + 3 * sizeof(float)) << "shared";
    EXPECT_THAT(Values(read->at("b")), ElementsAre(3, 5, 7, 9)) << alignment;
  }
}

TEST(PthTest, TensorsOutliveTheFile) {
  auto file = MappedFile::FromBytes(Legacy(Dict({{"a", Tensor(Storage("0", "N"), 9, {3}, {1})}}), {"0"}));
  const std::weak_ptr<MappedFile> watch = file;
  absl::StatusOr<TensorMap> read = ReadLegacyPth(file, "f.pth");
  ASSERT_EQ(read.status(), absl::OkStatus());
  file.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_THAT(Values(read->at("a")), ElementsAre(9, 10, 11));
  read->clear();
  EXPECT_TRUE(watch.expired());
}

TEST(PthTest, TheStateIsUnderItsKeyOrTheWhole) {
  const std::string state = Dict({{"a", kVector}}), other = Dict({{"b", kVector}});
  const std::pair<std::string, std::string> cases[] = {
      {state, "a"},
      {Dict({{"epoch", PickleInteger(3)}, {"model", state}}), "a"},
      {Dict({{"model", other}, {"state_dict", state}}), "a"},
      {Dict({{"state_dict", Dict({{"model", state}})}}), "a"},
      {Dict({{"model", other}, {"model", state}}), "a"},
      {Dict({{"model", kVector}}), "model"},
      {Dict({{"model", state}, {"args", PickleGlobalName("argparse", "Namespace") + ")\x81}b"}}), "a"},
      {Dict({{"model", state}, {"shape", PickleGlobalName("torch", "Size") + Tuple({3}) + "\x85R"}}), "a"},
      {PickleGlobalName("collections", "OrderedDict") + ")R" + state.substr(1) + "}b", "a"},
      {Dict({{"a", Parameter(kVector)}}), "a"},
      {Dict({{"a", PickleInteger(1)}, {"a", kVector}}), "a"},  // Python keeps the last
  };
  for (const auto& [object, name] : cases) {
    const absl::StatusOr<TensorMap> read = ReadObject(object);
    ASSERT_EQ(read.status(), absl::OkStatus());
    ASSERT_EQ(read->size(), 1);
    EXPECT_EQ(read->begin()->first, name);
  }
}

TEST(PthTest, WhatIsNoStateIsRefusedByName) {
  std::string deep = Dict({{"a", kVector}});
  for (int i = 0; i < 17; ++i) deep = Dict({{"model", deep}});
  const std::pair<std::string, std::string> cases[] = {
      {kVector, "f.pth: the pickled object is an object, not a dictionary of tensors"},
      {"}", "f.pth: holds no tensors: the state is an empty dictionary"},
      {Dict({{"model", "}"}}), "f.pth: holds no tensors"},
      {Dict({{"a", kVector}, {"b", PickleInteger(-5)}}),
       "f.pth: 'b' is the integer -5, not a tensor; the state is what stands under \"state_dict\" or \"model\", else "
       "the "
       "whole object"},
      {Dict({{"model", PickleString("resnet")}, {"net", "}"}}), "f.pth: 'model' is a string, not a tensor"},
      {Dict({{"a", "N"}}), "f.pth: 'a' is None, not a tensor"},
      {Dict({{"a", PickleGlobalName("torch", "FloatStorage")}}), "f.pth: 'a' is the global torch.FloatStorage, not a"},
      {Dict({{"a\n", Storage("0")}}), "f.pth: 'a\\n' is a persistent id, not a tensor"},
      {Dict({{"a", Parameter(Parameter(kVector))}}), "f.pth: 'a' is an object, not a tensor"},
      {Dict({{"a", PickleGlobalName("torch._utils", "_rebuild_parameter") + ")R"}}),
       "f.pth: 'a': torch._utils._rebuild_parameter without arguments"},
      {Dict({{"a", PickleGlobalName("argparse", "Namespace") + ")R"}}), "f.pth: 'a' is an object, not a tensor"},
      {"}K\1" + kVector + "s", "f.pth: a name in the state is the integer 1, not a string"},
      {deep, "nested more than 16 deep"},
      {Dict({{std::string(1001, 'x'), kVector}}),
       "f.pth: a name in the state is a string of 1001 bytes, more than 1000"},
      {Dict({{"a", Tensor(Storage(std::string(1001, 'x')), 0, {}, {})}}), "its key is a string of 1001 bytes"},
      {"}" + PickleString(std::string(99, 'x') + "äöü") + "Ns", "f.pth: '" + std::string(99, 'x') + "…' is None"},
  };
  for (const auto& [object, message] : cases) {
    EXPECT_EQ(ReadObject(object).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(Message(ReadObject(object)), HasSubstr(message));
  }
}

TEST(PthTest, LayoutsStayInTheirStorage) {
  const int64_t large = int64_t{1} << 62;
  const std::pair<std::string, std::string> cases[] = {
      {Tensor(Storage("0"), 0, {13}, {1}), "has its last element at 12 of storage '0', which has 12"},
      {Tensor(Storage("0"), 12, {}, {}), "has its last element at 12 of"},
      {Tensor(Storage("0"), 0, {2, 0, large}, {1, 1, 1}), "reaches further than 64 bits can count"},
      {Tensor(Storage("0"), 0, {2, 2}, {large, large}), "reaches further than"},
      {Tensor(Storage("0"), 0, {large, 2}, {0, 0}), "reaches further than"},
      {Tensor(Storage("0"), 0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)),
       "65 dimensions, more than 64"},
      {Tensor(Storage("0"), 0, {(4 << 20) + 13}, {0}),
       "makes 16777268 bytes of the 48 of storage '0'; strides may repeat no more than 16777216 bytes in a file"},
      {Tensor(Storage("0", "", "ComplexFloatStorage"), 0, {1}, {1}), "asks for torch.ComplexFloatStorage; "},
  };
  for (const auto& [tensor, message] : cases) {
    EXPECT_EQ(ReadObject(Dict({{"a", tensor}})).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(Message(ReadObject(Dict({{"a", tensor}}))), HasSubstr(message));
  }
  const std::string most = Tensor(Storage("0"), 0, {(4 << 20) + 12}, {0});
  EXPECT_EQ(ReadObject(Dict({{"a", most}})).status(), absl::OkStatus());
  EXPECT_THAT(Message(ReadObject(Dict({{"a", most}, {"b", Tensor(Storage("1"), 0, {13}, {0})}}))),
              HasSubstr("'b': shape [13] with strides [0] at offset 0 makes 52 bytes of the 48"));
  EXPECT_EQ(ReadObject(Dict({{"a", Tensor(Storage("0"), 0, std::vector<int64_t>(64, 1), std::vector<int64_t>(64, 1))}}))
                .status(),
            absl::OkStatus());
}

TEST(PthTest, AStateHasAtMost20000Tensors) {
  std::string object = "}(" + kVector + B("q\x00") + "0";
  for (int i = 0; i < 20'001; ++i) object += PickleString(absl::StrCat(i)) + B("h\x00");
  EXPECT_THAT(Message(ReadObject(object + "u")), HasSubstr("the state has 20001 entries, more than 20000"));
}

TEST(PthTest, ArchivesAreReadByTheirOneRoot) {
  const std::string pickle = PickleOf(Dict({{"a", kVector}}));
  const ZipEntry object = {"any name/data.pkl", pickle}, storage = {"any name/data/0", Floats()};
  EXPECT_EQ(ReadArchive({object, storage}).status(), absl::OkStatus());
  EXPECT_EQ(ReadArchive({{"data.pkl", pickle}, {"data/0", Floats()}}).status(), absl::OkStatus());
  EXPECT_THAT(Message(ReadArchive({{"a/b.pkl", pickle}})), HasSubstr("f.pth: is an archive without a data.pkl: it is"));
  EXPECT_THAT(Message(ReadArchive({object, {"x/data.pkl", ""}})),
              HasSubstr("has 2 pickles, 'any name/data.pkl' and 'x/"));
  EXPECT_THAT(Message(ReadArchive({object, storage, {"any name/code/a.py", ""}})),
              HasSubstr("is a TorchScript archive"));
  EXPECT_EQ(ReadArchive({object, storage, {"code/a.py", ""}}).status(), absl::OkStatus());
  EXPECT_THAT(Message(ReadArchive({object, {"any name/data/0", Floats() + "1234"}})),
              HasSubstr("storage '0' has 52 bytes, its persistent id says 12 elements of 4"));
  EXPECT_EQ(ReadArchive({object, {"any name/data/0", Floats() + "123"}}).status(), absl::OkStatus());
}

TEST(PthTest, BigEndianStoragesAreTurned) {
  std::string turned = Floats();
  for (size_t i = 0; i < turned.size(); i += 4) std::reverse(turned.begin() + i, turned.begin() + i + 4);
  const absl::StatusOr<TensorMap> read =
      ReadArchive({{"f/data.pkl", PickleOf(Dict({{"a", kVector}, {"b", Tensor(Storage("0"), 4, {2}, {1})}}))},
                   {"f/data/0", turned},
                   {"f/byteorder", "big"}});
  ASSERT_EQ(read.status(), absl::OkStatus());
  EXPECT_THAT(Values(read->at("a")), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(Values(read->at("b")), ElementsAre(4, 5));  // turned once
}

TEST(PthTest, LegacyViewsOfStorages) {
  const std::string part = "(" + PickleString("v") + PickleInteger(4) + PickleInteger(6) + "t";
  const absl::StatusOr<TensorMap> read =
      ReadLegacy(Legacy(Dict({{"a", Tensor(Storage("0", part), 1, {5}, {1})}}), {"0"}));
  ASSERT_EQ(read.status(), absl::OkStatus());
  EXPECT_THAT(Values(read->at("a")), ElementsAre(5, 6, 7, 8, 9));
  EXPECT_THAT(Message(ReadLegacy(Legacy(Dict({{"a", Tensor(Storage("0", part), 1, {6}, {1})}}), {"0"}))),
              HasSubstr("has its last element at 6 of storage '0', which has 6"));
  EXPECT_THAT(Message(ReadLegacy(Legacy(Dict({{"a", Tensor(Storage("0", "K\1"), 0, {1}, {1})}}), {"0"}))),
              HasSubstr("the view of storage '0' is the integer 1, not (key, first, elements)"));
}

TEST(PthTest, LegacyFilesAreCheckedFromTheFirstPickle) {
  const std::string state = Dict({{"a", Tensor(Storage("0", "N"), 0, {1}, {1})}});
  const std::string magic = PickleOf(B("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"));
  const std::pair<std::string, std::string> cases[] = {
      {"", "f.pth: does not begin with a pickle: it is not a checkpoint of PyTorch"},
      {"PK", "f.pth: does not begin with a pickle"},
      {PickleOf(state), "f.pth: begins with a pickle of a dictionary, not with PyTorch's magic number"},
      {magic, "f.pth: the pickle at byte 15 is empty"},
      {magic + PickleOf(PickleString("1001")), "f.pth: the protocol version is a string; there is only 1001"},
      {Legacy(Dict({{"a", kVector}}), {"0"}), "must be (\"storage\", type, key, location, elements, view)"},
      {Legacy(state, {"0"}).substr(0, Legacy(state, {"0"}).size() - 1), "storage '0' needs 48 bytes at "},
  };
  for (const auto& [bytes, message] : cases) EXPECT_THAT(Message(ReadLegacy(bytes)), HasSubstr(message));
}

// Errors but never an exception, which would be Internal, a crash or another file's bytes.
TEST(PthTest, EveryCutAndEveryFlippedBitIsAnErrorOrAState) {
  const std::string whole = Legacy(Dict({{"a", Tensor(Storage("0", "N"), 0, {3, 4}, {4, 1})},
                                         {"b", Parameter(Tensor(Storage("1", "N"), 2, {3}, {2}))}}),
                                   {"0", "1"}, 1);
  ASSERT_EQ(ReadLegacy(whole).status(), absl::OkStatus());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_EQ(ReadLegacy(whole.substr(0, bytes)).status().code(), absl::StatusCode::kDataLoss) << bytes;
  }
  int refused = 0;
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] ^= 1 << bit % 8;
    const absl::StatusOr<TensorMap> read = ReadLegacy(flipped);
    if (!read.ok()) {
      EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << bit << read.status();
      ++refused;
      continue;
    }
    for (const auto& [name, tensor] : *read) EXPECT_EQ(AlignedCopy(tensor).numel(), tensor.numel());
  }
  EXPECT_GT(refused, whole.size());
}

}  // namespace
}  // namespace qwt
