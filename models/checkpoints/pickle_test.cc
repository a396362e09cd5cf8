#include "models/checkpoints/pickle.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/checkpoints/pickle_writer.h"

namespace qwt {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Kind = PickleValue::Kind;

constexpr PickleGlobal kGlobals[] = {{"collections.OrderedDict", PickleGlobal::kDict},
                                     {"torch.Size", PickleGlobal::kArgument},
                                     {"torch._utils._rebuild_tensor", PickleGlobal::kTensor},
                                     {"argparse.Namespace", PickleGlobal::kObject},
                                     {"torch.FloatStorage", PickleGlobal::kNothing}};

absl::StatusOr<Pickle> Parse(absl::string_view bytes) { return ParsePickle(bytes, kGlobals); }

std::string Repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

const std::string kDict = PickleGlobalName("collections", "OrderedDict");
const std::string kTensor = PickleGlobalName("torch._utils", "_rebuild_tensor");
const std::string kNamespace = PickleGlobalName("argparse", "Namespace");

// As Python would print it, for small values.
std::string Show(const Pickle& pickle, uint32_t index, int depth = 0) {
  const PickleValue& value = pickle[index];
  if (depth > 8) return "...";
  auto items = [&](const char* open, const char* close, bool pairs) {
    std::string text = open;
    for (size_t i = 0; i < value.items.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : pairs && i % 2 ? ": " : ", ", Show(pickle, value.items[i], depth + 1));
    }
    return text + close;
  };
  switch (value.kind) {
    case Kind::kInteger:
      return absl::StrCat(value.integer);
    case Kind::kFloat:
      return absl::StrCat(value.real);
    case Kind::kString:
      return absl::StrCat("'", value.text, "'");
    case Kind::kBytes:
      return absl::StrCat("b'", value.text, "'");
    case Kind::kTuple:
      return items("(", ")", false);
    case Kind::kList:
      return items("[", "]", false);
    case Kind::kDict:
      return items("{", "}", true);
    case Kind::kGlobal:
      return std::string(value.text);
    case Kind::kPersistentId:
      return items("<", ">", false);
    case Kind::kObject:
      return Show(pickle, value.items[0], depth + 1) + Show(pickle, value.items[1], depth + 1);
    default:
      return Describe(value);
  }
}

std::string Shown(const std::string& bytes) {
  const absl::StatusOr<Pickle> pickle = Parse(bytes);
  return pickle.ok() ? Show(*pickle, pickle->root) : std::string(pickle.status().message());
}

TEST(PickleTest, EveryOpcodeMakesItsValue) {
  const std::pair<std::string, std::string> cases[] = {
      {"N", "None"},
      {B("\x88"), "True"},
      {B("\x89"), "False"},
      {B("K\xff"), "255"},
      {B("M\xff\xff"), "65535"},
      {B("J\xfe\xff\xff\xff"), "-2"},
      {B("\x8a\x00"), "0"},
      {B("\x8a\x01\xff"), "-1"},
      {B("\x8a\x02\xff\x00"), "255"},
      {B("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"), "9223372036854775807"},
      {B("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"), "-9223372036854775808"},
      {B("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00"), "an integer of more than 64 bits"},
      {B("\x8b\x02\x00\x00\x00\x00\x01"), "256"},
      {B("G\xbf\xe8\x00\x00\x00\x00\x00\x00"), "-0.75"},
      {B("X\x03\x00\x00\x00h\xc3\xa4"), "'hä'"},
      {B("\x8c\x01h"), "'h'"},
      {B("\x8d\x01\x00\x00\x00\x00\x00\x00\x00h"), "'h'"},
      {B("U\x02hi"), "'hi'"},
      {B("U\x01\xff"), "b'\xff'"},
      {B("T\x01\x00\x00\x00h"), "'h'"},
      {B("C\x01h"), "b'h'"},
      {B("B\x01\x00\x00\x00h"), "b'h'"},
      {B("\x8e\x01\x00\x00\x00\x00\x00\x00\x00h"), "b'h'"},
      {B("\x96\x01\x00\x00\x00\x00\x00\x00\x00h"), "b'h'"},
      {")", "()"},
      {"]", "[]"},
      {"}", "{}"},
      {B("K\x01\x85"), "(1)"},
      {B("K\x01K\x02\x86"), "(1, 2)"},
      {B("K\x01K\x02K\x03\x87"), "(1, 2, 3)"},
      {B("(K\x01K\x02K\x03K\x04t"), "(1, 2, 3, 4)"},
      {B("]K\x01"
         "a"),
       "[1]"},
      {B("](K\x01K\x02"
         "e"),
       "[1, 2]"},
      {B("\x8f(K\x01K\x02\x90"), "[1, 2]"},
      {B("(K\x01K\x02\x91"), "(1, 2)"},
      {B("}K\x01K\x02s"), "{1: 2}"},
      {B("}(K\x01K\x02K\x03K\x04u"), "{1: 2, 3: 4}"},
      {B("K\x01K\x02"
         "0"),
       "1"},
      {B("K\x01(K\x02K\x03"
         "1"),
       "1"},
      {B("K\x01"
         "2\x86"),
       "(1, 1)"},
      {B("K\x07q\x05"
         "0h\x05"),
       "7"},
      {B("K\x07r\xff\xff\xff\xff"
         "0j\xff\xff\xff\xff"),
       "7"},
      {B("K\x07\x94K\x08\x94"
         "h\x00"),
       "7"},
      {B("\x95\x02\x00\x00\x00\x00\x00\x00\x00K\x07"), "7"},
      {kDict, "collections.OrderedDict"},
      {B("\x8c\x05torch\x8c\x04Size\x93"), "torch.Size"},
      {"NQ", "<None>"},
      {kDict + ")R", "{}"},
      {kDict + ")\x81", "{}"},
      {PickleGlobalName("torch", "Size") + B("K\x03\x85\x85R"), "(3)"},
      {kTensor + B("K\x03\x85R"), "torch._utils._rebuild_tensor(3)"},
  };
  for (const auto& [body, shown] : cases) EXPECT_EQ(Shown(PickleOf(body)), shown);
}

TEST(PickleTest, TheLengthEndsAtStop) {
  const std::string bytes = PickleOf(B("K\x01")) + "and more";
  const absl::StatusOr<Pickle> pickle = Parse(bytes);
  ASSERT_EQ(pickle.status(), absl::OkStatus());
  EXPECT_EQ(pickle->bytes, 5);
}

TEST(PickleTest, OrderedDictOfPairs) {
  EXPECT_EQ(Shown(PickleOf(kDict + B("(](](K\x01K\x02"
                                     "eK\x03K\x04\x86"
                                     "etR"))),
            "{1: 2, 3: 4}");
  for (const std::string& argument : {B("K\x01"),
                                      B("]K\x01"
                                        "a"),
                                      B("](K\x01K\x02K\x03\x87"
                                        "e")}) {
    EXPECT_THAT(Shown(PickleOf(kDict + argument + "\x85R")),
                HasSubstr("makes a dictionary of something else than pairs"));
  }
}

TEST(PickleTest, BuildIsDropped) {
  const std::string state = "}" + PickleString("_metadata") + kDict + ")R" + "sb";
  EXPECT_EQ(Shown(PickleOf(kDict + ")R" + state)), "{}");
  EXPECT_EQ(Shown(PickleOf(kNamespace + ")\x81" + state)), "argparse.Namespace()");
  // On a tensor it would set another storage.
  EXPECT_THAT(Shown(PickleOf(kTensor + ")R" + state)), HasSubstr("(BUILD) sets attributes of an object"));
  EXPECT_THAT(Shown(PickleOf("]" + state)), HasSubstr("(BUILD) sets attributes of a list"));
}

TEST(PickleTest, WhatIsRefused) {
  const std::pair<std::string, std::string> cases[] = {
      {PickleGlobalName("os", "system"),
       "the pickle at byte 2 asks for os.system; a checkpoint may hold tensors and containers only "
       "(collections.OrderedDict, torch.Size, torch._utils._rebuild_tensor, argparse.Namespace, "
       "torch.FloatStorage). If you trust the file, load it with PyTorch and save its "
       "state_dict() with torch.save"},
      {B("\x8c\x02os\x8c\x06system\x93"), "the pickle at byte 14 asks for os.system; "},
      {PickleGlobalName("torch", "_utils._rebuild_tensor"), "asks for torch._utils._rebuild_tensor; "},
      {PickleGlobalName("os", "OrderedDict"), "asks for os.OrderedDict; "},
      {PickleGlobalName("torch._utils", "_rebuild_tensor_v3"), "asks for torch._utils._rebuild_tensor_v3; "},
      {PickleGlobalName("", ""), "asks for .; "},
      {PickleGlobalName("a\x01\xff", std::string(5000, 'x')),
       absl::StrCat("asks for a\\x01\\xff.", std::string(100, 'x'), "; ")},
      {B("K\x01K\x02\x93"), "the pickle at byte 6 (STACK_GLOBAL) wants a string, has the integer 1"},
      {"cos", "the pickle at byte 2 (GLOBAL) has a line without an end"},
      {B("\xff"), "the pickle at byte 2 has the unknown opcode 0xff"},
      {B("\0"), "the pickle at byte 2 has the unknown opcode 0x00"},
      {"(ios\nsystem\n", "the pickle at byte 3 has the opcode INST (0x69), which tensors and containers do not need"},
      {B("\x82\x01"), "has the opcode EXT1 (0x82)"},
      {"Pstorage\n", "has the opcode PERSID (0x50)"},
      {B("\x80\x06"), "the pickle at byte 2 says pickle protocol 6; there are 0 to 5"},
      {B("X\xf0\xff\xff\xffhi"), "the pickle at byte 2 (BINUNICODE) says 4294967280 bytes where 3 are left"},
      {B("\x8d\x00\x00\x00\x00\x00\x00\x00\x80"), "(BINUNICODE8) says 9223372036854775808 bytes where 1 are left"},
      {B("\x8e\xff\xff\xff\xff\xff\xff\xff\xff"), "(BINBYTES8) says 18446744073709551615 bytes where 1 are left"},
      {B("\x95\x02\x00\x00\x00\x00\x00\x00\x00"), "(FRAME) says 2 bytes where 1 are left"},
      {B("\x8b\xff\xff\xff\xff"), "(LONG4) has the negative length -1"},
      {B("\x8b\xff\xff\xff\x7f"), "(LONG4) says 2147483647 bytes where 1 are left"},
      {B("X\x02\x00\x00\x00\xc3("), "(BINUNICODE) has a string that is not UTF-8"},
      {"R", "(REDUCE) takes a value from an empty stack"},
      {B("K\x01(\x85"), "the pickle at byte 5 (TUPLE1) takes a value from an empty stack"},
      {"", "the pickle at byte 2 (STOP) takes a value from an empty stack"},
      {B("K\x01t"), "the pickle at byte 4 (TUPLE) has no MARK"},
      {B("}(K\x01u"), "(SETITEMS) has a key without a value"},
      {B("K\x01K\x02K\x03s"), "(SETITEM) wants a dictionary, has the integer 1"},
      {B("}K\x02"
         "a"),
       "(APPEND) wants a list, has a dictionary"},
      {B("}]K\x02s"), "(SETITEM) has a list as a dictionary key"},
      {B("}(K\x01K\x01}K\x02u"), "(SETITEMS) has a dictionary as a dictionary key"},
      {B("h\x05"), "(BINGET) asks for memo 5, which nothing set"},
      {PickleString("os.system") + ")R", "the pickle at byte 17 (REDUCE) calls a string"},
      {kDict + "]R", "(REDUCE) calls collections.OrderedDict with a list, not a tuple"},
      {PickleGlobalName("torch", "FloatStorage") + ")R",
       "(REDUCE) calls torch.FloatStorage, which no checkpoint needs"},
      {PickleGlobalName("torch", "Size") + ")R", "(REDUCE) calls torch.Size with something else than one tuple"},
  };
  for (const auto& [body, message] : cases) {
    const std::string bytes = PickleOf(body);
    const absl::Status status = Parse(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(status.message(), HasSubstr(message));
  }
}

TEST(PickleTest, PlacesAreCountedFromTheGivenPosition) {
  EXPECT_THAT(std::string(ParsePickle(B("\x80\x02\xff"), kGlobals, 1000).status().message()),
              StartsWith("the pickle at byte 1002 "));
}

TEST(PickleTest, WhatIsCutShortIsRefusedWhereverItEnds) {
  const std::string whole =
      PickleOf(B("}(") + PickleString("a") + kTensor + B("(K\x01J\x01\x02\x03\x04G12345678\x8a\x02xytRu"));
  ASSERT_EQ(Parse(whole).status(), absl::OkStatus());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_EQ(Parse(whole.substr(0, bytes)).status().code(), absl::StatusCode::kDataLoss) << bytes;
  }
}

TEST(PickleTest, EveryByteIsAnOpcodeOrAnError) {
  std::set<std::string> reasons;
  for (int byte = 0; byte < 256; ++byte) {
    const absl::Status status = Parse(B("\x80\x02") + static_cast<char>(byte)).status();
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << byte;  // nothing but STOP behind a value ends well
    reasons.insert(std::string(status.message()));
  }
  EXPECT_GT(reasons.size(), 150);  // unknown ones each by its number, the others by name
}

TEST(PickleTest, Utf8) {
  const std::pair<std::string, bool> cases[] = {
      {B("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), true},
      {B("\x80"), false},
      {B("\xc0\x80"), false},
      {B("\xc1\xbf"), false},
      {B("\xe0\x9f\xbf"), false},
      {B("\xed\xa0\x80"), false},
      {B("\xf0\x8f\xbf\xbf"), false},
      {B("\xf4\x90\x80\x80"), false},
      {B("\xf5\x80\x80\x80"), false},
      {B("\xe2\x82"), false},
      {B("\xe2(\xa1"), false},
  };
  for (const auto& [text, valid] : cases)
    EXPECT_EQ(Parse(PickleOf(PickleString(text))).ok(), valid) << testing::PrintToString(text);
}

TEST(PickleTest, DeepAndSharedAndCyclicValues) {
  const std::string deep = PickleOf(")" + std::string(900'000, '\x85'));
  EXPECT_EQ(Parse(deep).status(), absl::OkStatus());
  // 300 levels of ten references each.
  std::string laughs = B(")q\x00");
  laughs += Repeat("(" + Repeat(B("h\x00"), 10) + B("tq\x00"), 300);
  EXPECT_EQ(Parse(PickleOf(laughs)).status(), absl::OkStatus());
  const std::string cyclic =
      PickleOf(B("}q\x00K\x01h\x00s]q\x01h\x01"
                 "a0"));
  EXPECT_THAT(Shown(cyclic), StartsWith("{1: {1: {1: "));
}

TEST(PickleTest, StepsAreBounded) {
  const std::string bound = "needs more than 1000000 steps";
  EXPECT_EQ(Parse(PickleOf(Repeat("N0", 499'998) + "N")).status(), absl::OkStatus());
  EXPECT_THAT(Shown(PickleOf(Repeat("N0", 500'000) + "N")), HasSubstr(bound));
  // One list of 1000 pairs made a dictionary of again and again.
  const std::string pairs = "](" + Repeat(B("K\x01K\x02\x86"), 1000) + B("e\x85q\x00");
  EXPECT_THAT(Shown(PickleOf(pairs + Repeat(kDict + B("h\x00R0"), 1500) + "N")), HasSubstr(bound));
}

}  // namespace
}  // namespace qwt
