#include "models/checkpoints/npz.h"

#include <cstring>
#include <utility>

#include "ATen/ops/arange.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/str_cat.h"
#include "core/tensor/copy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/checkpoints/zip_writer.h"

namespace qwt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Npy(std::string header, const std::string& data, int version = 1) {
  const int length_bytes = version == 1 ? 2 : 4;
  header += std::string(63 - (8 + length_bytes + header.size()) % 64, ' ') + "\n";
  return "\x93NUMPY" + Number(version, 1) + Number(0, 1) + Number(header.size(), length_bytes) + header + data;
}

std::string Header(const std::string& descr, const std::string& shape, bool fortran_order = false) {
  return absl::StrCat("{'descr': '", descr, "', 'fortran_order': ", fortran_order ? "True" : "False",
                      ", 'shape': ", shape, ", }");
}

std::string Floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), 4 * values.size());
}

absl::StatusOr<TensorMap> Read(const std::vector<ZipEntry>& entries) {
  const auto archive = ZipArchive::Open(MappedFile::FromBytes(MakeZip(entries)), "a.npz");
  if (!archive.ok()) return archive.status();
  return ReadNpz(*archive, "a.npz");
}

// The array of an archive of one.
at::Tensor Array(const std::string& npy) {
  const auto arrays = Read({{"x.npy", npy}});
  EXPECT_TRUE(arrays.ok()) << arrays.status();
  return arrays->at("x");
}

std::string ErrorOf(const std::string& npy) {
  const absl::Status status = Read({{"x.npy", npy}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  const std::string where = "a.npz: entry 'x.npy': ", message(status.message());
  EXPECT_EQ(message.substr(0, where.size()), where);
  return message.substr(std::min(where.size(), message.size()));
}

TEST(NpzTest, ArraysByNameWithoutEnding) {
  const auto arrays = Read({{"a/b.npy", Npy(Header("<f4", "(2,)"), Floats({1, 2}))},
                            {"../c.npy", Npy(Header("<f4", "()"), Floats({3})), true},
                            {"notes.txt", "text"}});
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  ASSERT_EQ(arrays->size(), 2);
  EXPECT_TRUE(at::equal(AlignedCopy(arrays->at("a/b")), at::tensor({1.0f, 2.0f})));
  EXPECT_EQ(arrays->at("../c").dim(), 0);
  EXPECT_EQ(AlignedCopy(arrays->at("../c")).item<float>(), 3);
}

TEST(NpzTest, ArraysAreViewsOfTheFileAlignedOrNot) {
  const std::string npy = Npy(Header("<f4", "(2, 1)"), Floats({1, 2}));
  // The array begins after the local header of 30 bytes, the name and the .npy header of 128 bytes.
  const auto file = MappedFile::FromBytes(MakeZip({{"xx.npy", npy}}));
  const auto aligned = ReadNpz(*ZipArchive::Open(file, "a.npz"), "a.npz");
  EXPECT_EQ(aligned->at("xx").const_data_ptr(), file->data() + 30 + 6 + 128);
  const auto other = MappedFile::FromBytes(MakeZip({{"x.npy", npy}}));
  const auto unaligned = ReadNpz(*ZipArchive::Open(other, "a.npz"), "a.npz");
  EXPECT_EQ(unaligned->at("x").const_data_ptr(), other->data() + 30 + 5 + 128);
  EXPECT_TRUE(at::equal(AlignedCopy(unaligned->at("x")), aligned->at("xx")));
}

TEST(NpzTest, EveryDtypeInEitherByteOrder) {
  const std::vector<std::pair<std::string, at::ScalarType>> types = {
      {"f2", at::kHalf},          {"f4", at::kFloat},  {"f8", at::kDouble}, {"i1", at::kChar},
      {"i2", at::kShort},         {"i4", at::kInt},    {"i8", at::kLong},   {"u1", at::kByte},
      {"u2", at::kUInt16},        {"u4", at::kUInt32}, {"u8", at::kUInt64}, {"c8", at::kComplexFloat},
      {"c16", at::kComplexDouble}};
  const std::string bytes = "0123456789abcdefFEDCBA9876543210";
  for (const auto& [name, type] : types) {
    const int64_t size = c10::elementSize(type), count = bytes.size() / size;
    const int64_t number = name[0] == 'c' ? size / 2 : size;
    std::string swapped = bytes;
    for (size_t i = 0; i < bytes.size(); ++i) swapped[i] = bytes[i / number * number + number - 1 - i % number];
    const std::string shape = absl::StrCat("(", count, ",)");
    for (const char* order : {"<", ">", "=", "|", ""}) {
      const at::Tensor array = Array(Npy(Header(order + name, shape), *order == '>' ? swapped : bytes));
      EXPECT_EQ(array.scalar_type(), type) << order << name;
      EXPECT_THAT(array.sizes(), ElementsAre(count));
      EXPECT_EQ(std::memcmp(array.const_data_ptr(), bytes.data(), bytes.size()), 0) << order << name;
    }
  }
  const at::Tensor booleans = Array(Npy(Header("|b1", "(3,)"), std::string("\1\0\1", 3)));
  EXPECT_TRUE(at::equal(booleans, at::tensor({1, 0, 1}).to(at::kBool)));
  EXPECT_EQ(ErrorOf(Npy(Header("|b1", "(2,)"), "\1\2")), "has a boolean that is neither 0 nor 1");
}

TEST(NpzTest, EitherStorageOrder) {
  std::string numbers;
  for (int i = 0; i < 24; ++i) numbers += Number(i, 4);
  const at::Tensor rows = at::arange(24).to(at::kInt).view({2, 3, 4});
  EXPECT_TRUE(at::equal(Array(Npy(Header("<i4", "(2, 3, 4)"), numbers)), rows));
  const at::Tensor columns = Array(Npy(Header("<i4", "(4, 3, 2)", true), numbers));
  EXPECT_THAT(columns.strides(), ElementsAre(1, 4, 12));
  EXPECT_TRUE(at::equal(columns, rows.permute({2, 1, 0})));
}

TEST(NpzTest, EmptyArrays) {
  EXPECT_THAT(Array(Npy(Header("<f4", "(0, 3)"), "")).sizes(), ElementsAre(0, 3));
  EXPECT_THAT(Array(Npy(Header(">f4", "(2, 0)", true), "")).sizes(), ElementsAre(2, 0));
}

TEST(NpzTest, EveryVersionAndSpelling) {
  const at::Tensor expected = at::tensor({1.0f, 2.0f}).view({1, 2});
  for (const int version : {1, 2, 3}) {
    EXPECT_TRUE(at::equal(Array(Npy(Header("<f4", "(1, 2)"), Floats({1, 2}), version)), expected));
  }
  for (const char* header : {R"({"shape":(1,2),"fortran_order":False,"descr":"<f4"})",
                             "{ 'descr' : '<f4' ,\n 'shape' : ( 1L , 2L , ) , 'fortran_order' : False }"}) {
    EXPECT_TRUE(at::equal(Array(Npy(header, Floats({1, 2}))), expected)) << header;
  }
}

TEST(NpzTest, WhatIsNoArray) {
  EXPECT_EQ(ErrorOf(""), "is no .npy array: it does not begin with \\x93NUMPY");
  EXPECT_EQ(ErrorOf("\x93NUMPZ"), "is no .npy array: it does not begin with \\x93NUMPY");
  EXPECT_EQ(ErrorOf("\x93NUMPY"), "ends inside the header");
  EXPECT_EQ(ErrorOf(std::string("\x93NUMPY\1\0\1", 9)), "ends inside the header");
  EXPECT_EQ(ErrorOf(std::string("\x93NUMPY\2\0\1\0\0", 11)), "ends inside the header");
  EXPECT_EQ(ErrorOf(std::string("\x93NUMPY\0\0\0\0", 10)), "has version 0 of the .npy format; read are 1, 2 and 3");
  EXPECT_EQ(ErrorOf(std::string("\x93NUMPY\4\0\0\0", 10)), "has version 4 of the .npy format; read are 1, 2 and 3");
  EXPECT_EQ(ErrorOf("\x93NUMPY" + Number(1, 2) + Number(65535, 2) + "{}"),
            "has a header of 65535 bytes, of which 2 are there");
  EXPECT_EQ(ErrorOf("\x93NUMPY" + Number(2, 2) + Number(UINT64_MAX, 4) + "{}"),
            "has a header of 4294967295 bytes, of which 2 are there");
}

TEST(NpzTest, Headers) {
  const auto error = [](const std::string& header) { return ErrorOf(Npy(header, Floats({1, 2}))); };
  const std::string rest = "'fortran_order': False, 'shape': (2,), }";
  EXPECT_THAT(error("[1, 2]"), HasSubstr("the header must have '{' where it has '[1, 2]"));
  EXPECT_THAT(error("__import__('os').system('true')"), HasSubstr("must have '{' where it has '__import__(\\'os\\')"));
  EXPECT_THAT(error("{'descr': '<f4' " + rest), HasSubstr("must have ',' or '}' where it has '\\'fortran_order"));
  EXPECT_THAT(error("{'descr'= '<f4', " + rest), HasSubstr("must have ':' where it has '= "));
  EXPECT_THAT(error("{'descr': f4, " + rest), HasSubstr("must have a string where it has 'f4, "));
  EXPECT_THAT(error("{'descr': '<f4"), HasSubstr("must have plain text and its closing quote where it has '<f4 "));
  EXPECT_THAT(error("{'descr': '\\x66', " + rest), HasSubstr("must have plain text and its closing quote"));
  EXPECT_THAT(error("{'descr': '<f4', " + rest + " x"), HasSubstr("must have nothing more where it has 'x "));
  EXPECT_EQ(error("{" + rest), "the header has no 'descr'");
  EXPECT_EQ(error("{'descr': '<f4', 'shape': (2,)}"), "the header has no 'fortran_order'");
  EXPECT_EQ(error("{'descr': '<f4', 'fortran_order': False}"), "the header has no 'shape'");
  EXPECT_EQ(error("{'descr': '<f4', 'descr': '<f4', " + rest), "the header has 'descr' twice");
  EXPECT_EQ(error("{'name': '<f4', " + rest),
            "the header has the key 'name'; there are 'descr', 'fortran_order' and 'shape'");
  EXPECT_THAT(error("{'fortran_order': 0, 'shape': (2,)}"), HasSubstr("must have True or False where it has '0, "));
}

TEST(NpzTest, Dtypes) {
  const auto error = [](const std::string& descr) {
    return ErrorOf(Npy("{'descr': " + descr + ", 'fortran_order': False, 'shape': (2,)}", Floats({1, 2})));
  };
  EXPECT_EQ(error("'|O'"), "has dtype object: Python objects, which are never unpickled");
  EXPECT_EQ(error("[('x', '<f2'), ('y', '<f2')]"), "has a structured dtype; read are arrays of numbers");
  EXPECT_EQ(error("('<f4', (2,))"), "has a structured dtype; read are arrays of numbers");
  for (const char* unread : {"<U4", "|S4", "<M8[ns]", "|V4", "<f16", "<b1x", "", "<", "<<f4", "f"}) {
    EXPECT_EQ(
        error(absl::StrCat("'", unread, "'")),
        absl::StrCat("has dtype '", unread, "'; read are f2, f4, f8, i1, i2, i4, i8, u1, u2, u4, u8, b1, c8, c16"));
  }
}

TEST(NpzTest, Shapes) {
  const auto error = [](const std::string& shape) { return ErrorOf(Npy(Header("<f4", shape), Floats({1, 2}))); };
  EXPECT_EQ(error("(3,)"), "shape (3) of <f4 needs 12 bytes, there are 8");
  EXPECT_EQ(error("()"), "shape () of <f4 needs 4 bytes, there are 8");
  EXPECT_EQ(error("(0,)"), "shape (0) of <f4 needs 0 bytes, there are 8");
  EXPECT_EQ(error("(4294967296, 4294967296)"), "shape (4294967296, 4294967296) has more bytes than 64 bits can count");
  EXPECT_EQ(error("(4611686018427387906,)"), "shape (4611686018427387906) has more bytes than 64 bits can count");
  EXPECT_EQ(error("(0, 4294967296, 4294967296)"),
            "shape (0, 4294967296, 4294967296) has more bytes than 64 bits can count");
  EXPECT_THAT(error("(-1, -2)"), HasSubstr("must have a size that is not negative where it has '-1, -2)"));
  EXPECT_THAT(error("(18446744073709551618,)"), HasSubstr("must have a size of 64 bits where it has '1844674407"));
  EXPECT_THAT(error("(2.0,)"), HasSubstr("must have ',' where it has '.0,)"));
  EXPECT_THAT(error("(2)"), HasSubstr("must have ',' where it has ')"));
  EXPECT_THAT(error("(,)"), HasSubstr("must have a size of 64 bits where it has ',)"));
  EXPECT_THAT(error("2"), HasSubstr("must have '(' where it has '2"));
  EXPECT_THAT(error("((2,),)"), HasSubstr("must have a size of 64 bits where it has '(2,),)"));
  EXPECT_THAT(error(std::string(20000, '(')), HasSubstr("must have a size of 64 bits where it has '(((((("));
  std::string ones;
  for (int i = 0; i < 65; ++i) ones += "1,";
  EXPECT_EQ(error("(" + ones + ")"), "has more than 64 dimensions");
}

TEST(NpzTest, DamagedEntriesAreNamed) {
  std::string bytes = MakeZip({{"x.npy", Npy(Header("<f4", "(2,)"), Floats({1, 2}))}});
  bytes[30 + 5 + 128] ^= 1;
  const auto archive = ZipArchive::Open(MappedFile::FromBytes(bytes), "a.npz");
  EXPECT_EQ(ReadNpz(*archive, "a.npz").status(),
            absl::DataLossError("a.npz: entry 'x.npy': its CRC-32 does not match: the file is damaged"));
}

}  // namespace
}  // namespace qwt
