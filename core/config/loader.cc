#include "core/config/loader.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/paths.h"
#include "core/base/status.h"
#include "core/base/strings.h"

namespace qwt {
namespace {

// Relative to where the user stands; errors spell the path as it was given.
absl::Status ReadFile(const std::string& path, std::string* text) {
  const std::string what = absl::StrCat("cannot read '", path, "'");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(AbsolutePath(path).c_str(), "rb"), std::fclose);
  if (file == nullptr) return ErrnoStatus(errno, what);
  char buffer[65536];
  while (size_t count = std::fread(buffer, 1, sizeof(buffer), file.get())) text->append(buffer, count);
  if (std::ferror(file.get())) return ErrnoStatus(errno, what);
  return absl::OkStatus();
}

// A missing file's name is often a mistyped one of a config beside it.
std::string NearestFile(const std::filesystem::path& path) {
  std::vector<std::string> names;
  std::error_code error;
  const std::string folder = AbsolutePath(path.has_parent_path() ? path.parent_path().string() : ".");
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".yaml") names.push_back(entry->path().stem().string());
  }
  std::sort(names.begin(), names.end());
  const std::string nearest = NearestName(path.stem().string(), names);
  if (nearest.empty()) return "";
  return absl::StrCat(" (did you mean '", (path.parent_path() / nearest).string(), ".yaml'?)");
}

// A file that the user named.
absl::StatusOr<std::string> ReadConfig(const std::string& path) {
  std::string text;
  const absl::Status status = ReadFile(path, &text);
  if (status.ok()) return text;
  if (!absl::IsNotFound(status)) return absl::InvalidArgumentError(status.message());
  return absl::NotFoundError(absl::StrCat(status.message(), NearestFile(path)));
}

bool SameFile(const std::string& a, const std::string& b) {
  std::error_code error;
  const auto canonical = [&error](const std::string& path) {
    return std::filesystem::weakly_canonical(AbsolutePath(path), error);
  };
  return canonical(a) == canonical(b);
}

std::string BesideFile(const std::string& path, const std::string& file) {
  if (absl::StartsWith(path, "~")) return AbsolutePath(path);
  return (std::filesystem::path(file).parent_path() / path).lexically_normal().string();
}

absl::StatusOr<ConfigNode> Load(const std::string& text, const std::string& name, const std::vector<Setting>& settings,
                                const std::vector<std::string>& overrides,
                                const std::map<std::string, std::string>& variables, Problems* problems) {
  ConfigLoader loader(variables, problems);
  ConfigNode root;
  if (!loader.LoadText(text, name, &root)) return problems->ToStatus();
  for (const Setting& setting : settings) loader.ApplySetting(setting, &root);
  for (const std::string& assignment : overrides) loader.ApplyOverride(assignment, &root);
  loader.Expand(&root);
  return root;
}

}  // namespace

bool ConfigLoader::LoadText(const std::string& text, const std::string& name, ConfigNode* root) {
  ConfigNode own;
  if (!ParseText(text, name, true, "", &own)) return false;
  if (own.kind_ == ConfigNode::Kind::kNull) own.kind_ = ConfigNode::Kind::kMap;
  if (own.kind_ != ConfigNode::Kind::kMap) {
    problems_->Add(own.location_, "must be a map of options ('key: value' lines)");
    return false;
  }
  open_files_.push_back(name);
  ConfigNode merged = ConfigNode::EmptyMap("", own.location_);
  bool loaded = true;
  for (const auto& [path, asked_by] : TakeBases(name, &own)) loaded &= LoadBase(path, asked_by, &merged);
  open_files_.pop_back();
  MergeOver(std::move(own), &merged);
  *root = std::move(merged);
  return loaded;
}

std::vector<std::pair<std::string, ConfigNode>> ConfigLoader::TakeBases(const std::string& name, ConfigNode* root) {
  std::vector<std::pair<std::string, ConfigNode>> bases;
  const auto found =
      std::find_if(root->map_.begin(), root->map_.end(), [](const auto& entry) { return entry.first == "base"; });
  if (found == root->map_.end()) return bases;
  ConfigNode base = std::move(found->second);
  root->map_.erase(found);
  Expand(&base);
  const std::vector<ConfigNode> entries =
      base.kind_ == ConfigNode::Kind::kList ? base.list_ : std::vector<ConfigNode>{base};
  for (const ConfigNode& entry : entries) {
    if (entry.broken_) continue;
    if (entry.kind_ != ConfigNode::Kind::kScalar || entry.scalar_.empty()) {
      problems_->Add(entry.Where(), "must be the path of a config, or a list of them");
    } else {
      bases.emplace_back(BesideFile(entry.scalar_, name), entry);
    }
  }
  return bases;
}

bool ConfigLoader::LoadBase(const std::string& path, const ConfigNode& asked_by, ConfigNode* merged) {
  for (const std::string& open : open_files_) {
    if (!SameFile(open, path)) continue;
    problems_->Add(asked_by.Where(),
                   absl::StrCat("is based on itself: ", absl::StrJoin(open_files_, " -> "), " -> ", path));
    return false;
  }
  std::string text;
  if (absl::Status status = ReadFile(path, &text); !status.ok()) {
    problems_->Add(asked_by.Where(), std::string(status.message()));
    return false;
  }
  ConfigNode base;
  if (!LoadText(text, path, &base)) return false;
  MergeOver(std::move(base), merged);
  return true;
}

absl::StatusOr<ConfigNode> LoadConfig(const std::string& path, const std::vector<Setting>& settings,
                                      const std::vector<std::string>& overrides,
                                      const std::map<std::string, std::string>& variables, Problems* problems) {
  QWT_ASSIGN_OR_RETURN(const std::string text, ReadConfig(path));
  return Load(text, path, settings, overrides, variables, problems);
}

absl::StatusOr<ConfigNode> LoadConfig(const std::string& path, const std::vector<std::string>& overrides,
                                      const std::map<std::string, std::string>& variables, Problems* problems) {
  return LoadConfig(path, std::vector<Setting>(), overrides, variables, problems);
}

absl::StatusOr<ConfigNode> ReadYaml(const std::string& path, const std::map<std::string, std::string>& variables,
                                    Problems* problems) {
  QWT_ASSIGN_OR_RETURN(const std::string text, ReadConfig(path));
  ConfigLoader loader(variables, problems);
  ConfigNode root;
  if (!loader.ParseText(text, path, true, "", &root)) return problems->ToStatus();
  loader.Expand(&root);
  return root;
}

absl::StatusOr<ConfigNode> LoadConfig(const std::string& path, const std::vector<std::string>& overrides,
                                      const std::map<std::string, std::string>& variables) {
  Problems problems;
  QWT_ASSIGN_OR_RETURN(ConfigNode root, LoadConfig(path, overrides, variables, &problems));
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  return root;
}

absl::StatusOr<ConfigNode> ParseConfig(const std::string& text, const std::string& name,
                                       const std::vector<std::string>& overrides,
                                       const std::map<std::string, std::string>& variables) {
  Problems problems;
  QWT_ASSIGN_OR_RETURN(ConfigNode root, Load(text, name, {}, overrides, variables, &problems));
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  return root;
}

}  // namespace qwt
