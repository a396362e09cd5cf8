// Files that PyTorch wrote, and hostile ones: manifest.json says what each must give.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/checkpoints/pth.h"
#include "models/checkpoints/zip.h"
#include "nlohmann/json.hpp"

namespace qwt {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kFolder = "tests/golden/checkpoints/";

absl::StatusOr<TensorMap> Read(const std::string& path) {
  const absl::StatusOr<std::shared_ptr<MappedFile>> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  if (!absl::StartsWith((*file)->bytes(), "PK")) return ReadLegacyPth(*file, path);
  const absl::StatusOr<ZipArchive> archive = ZipArchive::Open(*file, path);
  if (!archive.ok()) return archive.status();
  return ReadZipPth(*archive, path);
}

// The manifest's entries of PyTorch's files.
std::vector<Json> Entries(const char* list) {
  const Json manifest = Json::parse(std::ifstream(kFolder + "manifest.json"));
  std::vector<Json> entries;
  for (const Json& entry : manifest[list]) {
    const std::string file = entry["file"];
    if (absl::EndsWith(file, ".pth") || absl::EndsWith(file, ".pth.tar")) entries.push_back(entry);
  }
  return entries;
}

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor left = a.contiguous(), right = b.contiguous();
  return left.scalar_type() == right.scalar_type() && left.sizes() == right.sizes() &&
         (left.numel() == 0 || std::memcmp(left.const_data_ptr(), right.const_data_ptr(), left.nbytes()) == 0);
}

// Swin's newer naming, which is adapted elsewhere: its tensors are here under other names.
bool IsRenamed(const std::string& file) { return absl::StrContains(file, "_new"); }
// Buffers that the reference leaves out.
bool IsBuffer(const std::string& name) {
  return absl::EndsWith(name, "relative_position_index") || absl::EndsWith(name, "attn_mask");
}

void ExpectEqual(const TensorMap& read, const Json& entry) {
  const std::string file = entry["file"];
  const absl::StatusOr<TensorFile> reference = ReadSafetensors(kFolder + std::string(entry["equals"]));
  ASSERT_EQ(reference.status(), absl::OkStatus());
  const std::string strip = entry.value("strip", "");
  size_t compared = 0;
  for (const auto& [full_name, tensor] : read) {
    if (IsBuffer(full_name)) continue;
    ASSERT_TRUE(absl::StartsWith(full_name, strip)) << file << ": " << full_name;
    const auto expected = reference->tensors.find(full_name.substr(strip.size()));
    if (IsRenamed(file) && expected == reference->tensors.end()) continue;
    ASSERT_NE(expected, reference->tensors.end()) << file << ": " << full_name;
    EXPECT_TRUE(SameBits(tensor, expected->second)) << file << ": " << full_name;
    ++compared;
  }
  if (IsRenamed(file)) {
    EXPECT_EQ(read.size(), reference->tensors.size()) << file;
    EXPECT_GT(compared, read.size() / 2) << file;
  } else {
    EXPECT_EQ(compared, reference->tensors.size()) << file;
  }
}

TEST(PthGoldenTest, FilesToLoadGiveTheTensorsThatPyTorchHad) {
  const std::vector<Json> entries = Entries("files");
  EXPECT_EQ(entries.size(), 29);
  for (const Json& entry : entries) {
    const absl::StatusOr<TensorMap> read = Read(kFolder + std::string(entry["file"]));
    ASSERT_EQ(read.status(), absl::OkStatus());
    ExpectEqual(*read, entry);
  }
}

// What each file that is refused must say.
const std::map<std::string, std::string> kRefused = {
    {"git_lfs_pointer.pth", "does not begin with a pickle: it is not a checkpoint of PyTorch"},
    {"legacy_eval_first_pickle.pth", "the pickle at byte 2 asks for builtins.eval; "},
    {"legacy_eval_stack_global.pth", "the pickle at byte 172 asks for builtins.eval; "},
    {"legacy_key_missing.pth", "storage '1' is not in the list of storage keys"},
    {"legacy_key_twice.pth", "storage '0' is twice in the list of storage keys"},
    {"legacy_key_unknown.pth", "the list of storage keys has '9', which nothing refers to"},
    {"legacy_magic_wrong.pth", "an integer of more than 64 bits, not with PyTorch's magic number"},
    {"legacy_numel_differs.pth", "storage '0' says 5 elements at byte 447, its persistent id 12"},
    {"legacy_numel_huge.pth", "storage '0' says 1152921504606846976 elements at byte 447, its persistent id 12"},
    {"legacy_numel_negative.pth", "storage '0' says -1 elements at byte 447, its persistent id 12"},
    {"legacy_numel_overflow.pth", "storage '0' says 4611686018427387916 elements at byte 447, its persistent id 12"},
    {"legacy_os_system_global.pth", "the pickle at byte 154 asks for os.system; "},
    {"legacy_os_system_key_list.pth", "the pickle at byte 425 asks for os.system; "},
    {"legacy_storage_two_sizes.pth",
     "storage '0' has 12 elements of Float in one place and 1000000 of Float in another"},
    {"legacy_truncated_before_storages.pth", "storage '0': the file ends at byte 447 before it"},
    {"legacy_truncated_pickle.pth", "the pickle at byte 189 (BINUNICODE) says 7 bytes where 6 are left"},
    {"legacy_truncated_storage.pth", "storage '1' needs 12 bytes at 511, the file has 7 left: it is cut short"},
    {"legacy_version_unknown.pth", "the protocol version is the integer 1002; there is only 1001"},
    {"legacy_view_out_of_range.pth", "the view of storage '0': 12 elements from 6 on do not lie in its 12"},
    {"tar_container.pth.tar", "does not begin with a pickle: it is not a checkpoint of PyTorch"},
    {"text.pth", "does not begin with a pickle: it is not a checkpoint of PyTorch"},
    {"zip_absolute_name.pth", "storage '/qwt_secret': the archive has no entry 'archive/data//qwt_secret'"},
    {"zip_billion_laughs.pth", "the pickled object is a tuple, not a dictionary of tensors"},
    {"zip_bit_flip.pth", "entry 'archive/data/0': its CRC-32 does not match"},
    {"zip_build_class_swap.pth", "the pickle at byte 45 asks for os.system; "},
    {"zip_byteorder_unknown.pth", "archive/byteorder says 'middle', must be 'little' or 'big'"},
    {"zip_count_lies.pth", "the end record says 65000 entries, the directory has 5"},
    {"zip_crc_wrong.pth", "entry 'archive/data/0': its CRC-32 does not match"},
    {"zip_declared_huge.pth", "declares 1099511627776 bytes, more than 53 deflated bytes can hold"},
    {"zip_declared_huge_consistent.pth", "its 1099511627776 bytes end past the entries' end"},
    {"zip_deflate_bomb.pth", "inflates to more than the 48 bytes it declares"},
    {"zip_deflate_garbage.pth", "is not a deflate stream"},
    {"zip_directory_beyond_file.pth", "the directory's 4294967040 bytes at 4294967040 do not end at"},
    {"zip_dotted_stack_global.pth", "asks for torch.serialization.os.system; "},
    {"zip_duplicate_entry.pth", "entry 'archive/data/0': stands in the directory twice"},
    {"zip_empty_file.pth", "does not begin with a pickle: it is not a checkpoint of PyTorch"},
    {"zip_encrypted_flag.pth", "entry 'archive/data/0': is encrypted"},
    {"zip_eval_global.pth", "the pickle at byte 17 asks for builtins.eval; "},
    {"zip_eval_python2_global.pth", "the pickle at byte 17 asks for __builtin__.eval; "},
    {"zip_ext_opcode.pth", "the pickle at byte 2 has the opcode EXT1 (0x82)"},
    {"zip_global_in_unused_memo.pth", "the pickle at byte 2 asks for os.system; "},
    {"zip_inst_opcode.pth", "the pickle at byte 32 has the opcode INST (0x69)"},
    {"zip_load_from_bytes.pth", "asks for torch.storage._load_from_bytes; "},
    {"zip_local_header_bad_signature.pth", "entry 'archive/data/0': has no local header at 5"},
    {"zip_local_header_beyond_file.pth", "its local header at 2147483632 is past the entries' end"},
    {"zip_long4_huge.pth", "(LONG4) says 2147483647 bytes where 2 are left"},
    {"zip_long4_negative.pth", "(LONG4) has the negative length -1"},
    {"zip_mark_missing.pth", "the pickle at byte 4 (TUPLE) has no MARK"},
    {"zip_memo_unknown.pth", "(BINGET) asks for memo 5, which nothing set"},
    {"zip_method_unknown.pth", "entry 'archive/data/0': has compression method 99"},
    {"zip_nested_tuples_deep.pth", "the pickled object is a tuple, not a dictionary of tensors"},
    {"zip_newobj_popen.pth", "the pickle at byte 17 asks for subprocess.Popen; "},
    {"zip_no_pickle.pth", "is an archive without a data.pkl: it is not a checkpoint"},
    {"zip_not_a_state_int.pth", "the pickled object is the integer 7, not a dictionary of tensors"},
    {"zip_numpy_global.pth", "asks for numpy.core.multiarray._reconstruct; "},
    {"zip_obj_opcode.pth", "the pickle at byte 3 asks for os.system; "},
    {"zip_offset_bigger_than_64_bits.pth", "'a.weight': its offset is an integer of more than 64 bits"},
    {"zip_offset_exceeds_storage.pth",
     "'a.weight': shape [3, 4] with strides [4, 1] at offset 1 has its last element at 12 of storage '0', which has "
     "12"},
    {"zip_offset_negative.pth", "'a.weight': its offset is the integer -1"},
    {"zip_offset_overflow.pth", "at offset 9223372036854775804 reaches further than 64 bits can count"},
    {"zip_one_byte.pth", "does not begin with a pickle: it is not a checkpoint of PyTorch"},
    {"zip_only_end_record.pth", "is an archive without a data.pkl: it is not a checkpoint"},
    {"zip_os_system_global.pth", "the pickle at byte 17 asks for os.system; "},
    {"zip_os_system_stack_global.pth", "the pickle at byte 31 asks for os.system; "},
    {"zip_overlapping_entries.pth", "entry 'archive/data/1': its local header names 'archive/data/0'"},
    {"zip_persid_module.pth", "the pickle at byte 14 asks for torch.nn.Linear; "},
    {"zip_persid_short.pth",
     "a persistent id is a tuple of 1 items, must be (\"storage\", type, key, location, elements)"},
    {"zip_persid_text.pth", "the pickle at byte 2 has the opcode PERSID (0x50)"},
    {"zip_pickle_cut_in_string.pth", "the pickle at byte 4 (BINUNICODE) says 8 bytes where 0 are left"},
    {"zip_pickle_empty.pth", "the pickle at byte 0 is empty"},
    {"zip_pickle_no_stop.pth", "the pickle at byte 283 ends without STOP"},
    {"zip_posix_system_global.pth", "the pickle at byte 17 asks for posix.system; "},
    {"zip_rank_20000.pth", "'a.weight': its shape has 20000 dimensions, more than 64"},
    {"zip_rank_mismatch.pth", "'a.weight' has 2 sizes and 1 strides"},
    {"zip_rebuild_few_arguments.pth", "'a.weight': torch._utils._rebuild_tensor_v2 has 1 arguments, must have 6 or 7"},
    {"zip_rebuild_not_a_storage.pth", "'a.weight': its storage is a string, not a persistent id"},
    {"zip_reduce_on_string.pth", "the pickle at byte 47 (REDUCE) calls a string"},
    {"zip_self_reference.pth", "are nested more than 16 deep, or one contains itself"},
    {"zip_setitem_on_int.pth", "(SETITEM) wants a dictionary, has the integer 1"},
    {"zip_setitems_odd.pth", "(SETITEMS) has a key without a value"},
    {"zip_size_beyond_file.pth", "its 2147483647 bytes end past the entries' end"},
    {"zip_size_bigger_than_64_bits.pth", "'a.weight': its shape: dimension 0 is an integer of more than 64 bits"},
    {"zip_size_is_float.pth", "'a.weight': its shape: dimension 0 is a float, must be an integer"},
    {"zip_size_negative.pth", "'a.weight': its shape: dimension 0 is the integer -3"},
    {"zip_size_overflow.pth", "shape [8589934592, 2147483648] with strides [0, 0] at offset 0 reaches further than"},
    {"zip_stack_underflow.pth", "the pickle at byte 2 (REDUCE) takes a value from an empty stack"},
    {"zip_storage_key_missing.pth", "storage '7': the archive has no entry 'archive/data/7'"},
    {"zip_storage_key_none.pth", "a persistent id: its key is None, not a string"},
    {"zip_storage_numel_lies.pth", "storage '0' has 48 bytes, its persistent id says 1000 elements of 4"},
    {"zip_storage_numel_negative.pth", "storage '0': its number of elements is the integer -12"},
    {"zip_storage_numel_overflow.pth", "storage '0': 4611686018427387916 elements of 4 bytes are more than 64 bits"},
    {"zip_storage_short.pth", "storage '0' has 40 bytes, its persistent id says 12 elements of 4"},
    {"zip_storage_two_types.pth", "storage '0' has 12 elements of Float in one place and 6 of Double in another"},
    {"zip_storage_type_is_string.pth", "its type is a string, not a storage type such as torch.FloatStorage"},
    {"zip_storage_type_unknown.pth", "the pickle at byte 64 asks for torch.FancyStorage; "},
    {"zip_stride_exceeds_storage.pth", "has its last element at 13 of storage '0', which has 12"},
    {"zip_stride_negative.pth", "'a.weight': its strides: dimension 0 is the integer -4"},
    {"zip_stride_overflow.pth", "with strides [4611686018427387904, 1] at offset 0 reaches further than"},
    {"zip_stride_zero_bomb.pth", "makes 17592186044416 bytes of the 48 of storage '0'"},
    {"zip_string8_length_huge.pth", "(BINUNICODE8) says 9223372036854775808 bytes where 4 are left"},
    {"zip_string_bad_utf8.pth", "(BINUNICODE) has a string that is not UTF-8"},
    {"zip_string_length_huge.pth", "(BINUNICODE) says 4294967280 bytes where 4 are left"},
    {"zip_tensor_exceeds_storage.pth", "has its last element at 15 of storage '0', which has 12"},
    {"zip_torchscript.pth", "is a TorchScript archive, which holds code: load it with torch.jit.load and save its"},
    {"zip_truncated_half.pth", "a zip archive without its end record"},
    {"zip_truncated_tail.pth", "a zip archive without its end record"},
    {"zip_two_roots.pth", "has 2 pickles, 'one/data.pkl' and 'two/data.pkl', where a checkpoint has one"},
    {"zip_unhashable_key.pth", "(SETITEM) has a list as a dictionary key"},
    {"zip_unknown_opcode.pth", "the pickle at byte 2 has the unknown opcode 0xff"},
    {"zip_unknown_protocol.pth", "the pickle at byte 0 says pickle protocol 127; there are 0 to 5"},
    {"zip_value_not_tensor.pth", "'a.weight' is a string, not a tensor"},
};

TEST(PthGoldenTest, HostileFilesAreRefusedForTheirReason) {
  size_t refused = 0;
  for (const Json& entry : Entries("hostile")) {
    const std::string path = kFolder + std::string(entry["file"]);
    const absl::StatusOr<TensorMap> read = Read(path);
    if (entry["expect"] == "load_or_refuse") {  // what is harmless loads
      ASSERT_EQ(read.status(), absl::OkStatus());
      ExpectEqual(*read, entry);
      continue;
    }
    ++refused;
    EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << path;
    const auto message = kRefused.find(std::filesystem::path(path).filename());
    ASSERT_NE(message, kRefused.end()) << path;
    EXPECT_THAT(std::string(read.status().message()), StartsWith(path + ": "));
    EXPECT_THAT(read.status().message(), HasSubstr(message->second));
  }
  EXPECT_EQ(refused, kRefused.size());
  for (const char* folder : {".", "..", "../..", "tests/golden/checkpoints", "tests/golden/checkpoints/hostile"}) {
    EXPECT_FALSE(std::filesystem::exists(absl::StrCat(folder, "/qwt_hostile_marker"))) << "a payload ran";
  }
}

}  // namespace
}  // namespace qwt
