// The format since PyTorch 1.6: an archive with one root folder of any name.
//
//   ROOT/data.pkl    the object; its storages are persistent ids
//   ROOT/byteorder   "little" or "big", for the storages; little where there is none
//   ROOT/data/KEY    the elements of a storage
//   ROOT/version, ROOT/.data/..., ROOT/.format_version, ...: nothing that reading needs
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"
#include "models/checkpoints/pickle.h"
#include "models/checkpoints/pth.h"
#include "models/checkpoints/pth_pickle.h"
#include "models/checkpoints/pth_tensors.h"
#include "models/checkpoints/text.h"

namespace qwt {
namespace {

absl::Status Damaged(const std::string& path, const std::string& what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

// "ROOT/", or "" where somebody packed the folder's content.
absl::StatusOr<std::string> FindRoot(const ZipArchive& archive, const std::string& path) {
  std::vector<std::string> roots;
  for (const auto& [name, entry] : archive.entries()) {
    if (name == "data.pkl" || absl::EndsWith(name, "/data.pkl"))
      roots.emplace_back(absl::StripSuffix(name, "data.pkl"));
  }
  if (roots.empty()) {
    return Damaged(path, "is an archive without a data.pkl: it is not a checkpoint of PyTorch");
  }
  if (roots.size() > 1) {
    return Damaged(path, absl::StrCat("has ", roots.size(), " pickles, ", QuoteForMessage(roots[0] + "data.pkl"),
                                      " and ", QuoteForMessage(roots[1] + "data.pkl"), ", where a checkpoint has one"));
  }
  for (const auto& [name, entry] : archive.entries()) {
    if (name == roots[0] + "constants.pkl" || absl::StartsWith(name, roots[0] + "code/")) {
      return Damaged(path,
                     "is a TorchScript archive, which holds code: load it with torch.jit.load and save its "
                     "state_dict() with torch.save");
    }
  }
  return roots[0];
}

absl::StatusOr<bool> IsBigEndian(const ZipArchive& archive, const std::string& root, const std::string& path) {
  const std::string name = root + "byteorder";
  if (archive.entries().count(name) == 0) return false;
  QWT_ASSIGN_OR_RETURN(const ZipContent order, archive.Read(name));
  if (order.bytes() == "big") return true;
  if (order.bytes() == "little") return false;
  return Damaged(path, absl::StrCat(name, " says ", QuoteForMessage(order.bytes()), ", must be 'little' or 'big'"));
}

absl::StatusOr<PthStorageData> FindStorage(const ZipArchive& archive, const std::string& root, const std::string& path,
                                           const std::string& key, const PthStorage& storage) {
  const std::string name = absl::StrCat(root, "data/", key);
  const auto entry = archive.entries().find(name);
  if (entry == archive.entries().end()) {
    return Damaged(
        path, absl::StrCat("storage ", QuoteForMessage(key), ": the archive has no entry ", QuoteForMessage(name)));
  }
  const uint64_t element_bytes = c10::elementSize(storage.dtype);
  if (entry->second.size / element_bytes != storage.elements) {  // PyTorch rounds down
    return Damaged(path,
                   absl::StrCat("storage ", QuoteForMessage(key), " has ", entry->second.size,
                                " bytes, its persistent id says ", storage.elements, " elements of ", element_bytes));
  }
  QWT_ASSIGN_OR_RETURN(const ZipContent content, archive.Read(name));
  return PthStorageData{content.owner, content.data};
}

absl::StatusOr<TensorMap> Read(const ZipArchive& archive, const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const std::string root, FindRoot(archive, path));
  QWT_ASSIGN_OR_RETURN(const bool is_big_endian, IsBigEndian(archive, root, path));
  QWT_ASSIGN_OR_RETURN(const ZipContent bytes, archive.Read(root + "data.pkl"));
  const absl::StatusOr<Pickle> pickle = ParsePickle(bytes.bytes(), PthGlobals());
  if (!pickle.ok()) return Annotate(pickle.status(), path);
  QWT_ASSIGN_OR_RETURN(const PthContent content, ReadPthContent(*pickle, /*legacy=*/false, path));
  return MakePthTensors(content, /*swap_bytes=*/is_big_endian, [&](const std::string& key, const PthStorage& storage) {
    return FindStorage(archive, root, path, key, storage);
  });
}

}  // namespace

absl::StatusOr<TensorMap> ReadZipPth(const ZipArchive& archive, const std::string& path) {
  try {
    return Read(archive, path);
  } catch (...) {
    return StatusFromCurrentException(path);
  }
}

}  // namespace qwt
