#include "data/datasets/image_folder/ground_truth.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"

namespace qwt {
namespace {

template <typename... Text>
absl::Status Wrong(const std::string& path, int line, const Text&... text) {
  return absl::InvalidArgumentError(absl::StrCat(path, line > 0 ? absl::StrCat(":", line) : "", ": ", text...));
}

std::vector<absl::string_view> Lines(absl::string_view text) {
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  for (absl::string_view& line : lines) line = absl::StripAsciiWhitespace(line);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<absl::string_view> Words(absl::string_view line) {
  return absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

absl::string_view BaseName(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

// Without the extension of an image.
absl::string_view Stem(absl::string_view name) {
  for (absl::string_view extension : {".jpg", ".jpeg", ".png"}) {
    if (absl::EndsWithIgnoreCase(name, extension)) return name.substr(0, name.size() - extension.size());
  }
  return name;
}

// The image (or "") and the label in a line; false where it does not have the list's form.
bool Fields(absl::string_view line, bool csv, bool named, GroundTruth::Line* result) {
  absl::string_view image, rest = line;
  if (csv) {
    const size_t comma = line.find(',');
    if (comma == line.npos) return false;
    image = absl::StripAsciiWhitespace(line.substr(0, comma)), rest = line.substr(comma + 1);
  }
  const std::vector<absl::string_view> words = Words(rest);
  if (csv ? image.empty() || words.empty() : words.size() != (named ? 2 : 1)) return false;
  if (named && !csv) image = BaseName(words[0]);
  if (named && image.empty()) return false;
  result->image = std::string(image);
  result->label = std::string(words[named && !csv ? 1 : 0]);
  return true;
}

// The place of a name among sorted ones, or -1.
int64_t PlaceOf(const std::string& name, const std::vector<std::string>& sorted) {
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), name);
  return found != sorted.end() && *found == name ? found - sorted.begin() : -1;
}

std::vector<std::string> SortedDistinct(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

constexpr char kWhatToDo[] =
    "name that order with ground_truth_classes, a file whose line k begins with the WordNet id of number k";

absl::StatusOr<std::vector<std::string>> NumberByName(const GroundTruth& list, const std::vector<std::string>& known,
                                                      std::vector<int64_t>* labels) {
  std::vector<std::string> names = known;
  if (names.empty()) {
    for (const GroundTruth::Line& line : list.lines) names.push_back(line.label);
  }
  names = SortedDistinct(std::move(names));
  for (const GroundTruth::Line& line : list.lines) {
    labels->push_back(PlaceOf(line.label, names));
    if (labels->back() >= 0) continue;
    return Wrong(list.path, line.line, "'", line.label, "' is none of the ", known.size(),
                 " classes of the training images");
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> NumberByOrder(const GroundTruth& list, const ClassOrder& order,
                                                       const std::vector<std::string>& known,
                                                       std::vector<int64_t>* labels) {
  const std::vector<std::string> classes = known.empty() ? SortedDistinct(order.names) : known;
  for (size_t i = 0; i < order.names.size(); ++i) {
    if (PlaceOf(order.names[i], classes) >= 0) continue;
    return Wrong(order.path, i + 1, "'", order.names[i], "' is none of the ", known.size(),
                 " classes of the training images");
  }
  const int64_t count = order.names.size();
  for (const GroundTruth::Line& line : list.lines) {
    if (line.number < 1 || line.number > count) {
      return Wrong(list.path, line.line, "class number ", line.label, "; must be from 1 to ", count, ", the lines of '",
                   order.path, "'");
    }
    labels->push_back(PlaceOf(order.names[line.number - 1], classes));
  }
  return classes;
}

absl::StatusOr<std::vector<std::string>> NumberByPlace(const GroundTruth& list, const std::vector<std::string>& known,
                                                       std::vector<int64_t>* labels) {
  constexpr int64_t kMostClasses = 1'000'000;
  int64_t least = kMostClasses, most = -1;
  for (const GroundTruth::Line& line : list.lines) {
    least = std::min(least, line.number), most = std::max(most, line.number);
  }
  const int64_t count = known.empty() ? std::min(most, kMostClasses - 1) + 1 : known.size();
  // A list with names and without class 0 may be a part of Caffe's; others are taken for the devkit's.
  if (least > 0 && !(list.named && !known.empty() && most < count)) {
    return Wrong(list.path, 0, "class numbers run from ", least, " to ", most,
                 ": counted from 1, so that they are not places in the sorted order of the classes, as with the "
                 "devkit's ILSVRC2012_validation_ground_truth.txt, which has an order of its own; ",
                 kWhatToDo);
  }
  for (const GroundTruth::Line& line : list.lines) {
    if (line.number < 0 || line.number >= count) {
      return Wrong(list.path, line.line, "class number ", line.label, "; must be from 0 to ", count - 1);
    }
    labels->push_back(line.number);
  }
  if (!known.empty()) return known;
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) names.push_back(absl::StrCat(i));
  return names;
}

absl::StatusOr<std::vector<std::string>> NumberClasses(const GroundTruth& list, const ClassOrder& order,
                                                       const std::vector<std::string>& known,
                                                       std::vector<int64_t>* labels) {
  const bool by_name = !list.numbers || std::all_of(list.lines.begin(), list.lines.end(), [&](const auto& line) {
    return std::binary_search(known.begin(), known.end(), line.label);  // class folders named "0", "1", ...
  });
  if (!order.path.empty()) {
    if (list.numbers) return NumberByOrder(list, order, known, labels);
    return Wrong(list.path, 0, "has names of classes, not numbers: ground_truth_classes ('", order.path,
                 "') is of no use; leave it out");
  }
  return by_name ? NumberByName(list, known, labels) : NumberByPlace(list, known, labels);
}

absl::Status LabelInOrder(const GroundTruth& list, const std::vector<int64_t>& labels, const std::string& split,
                          ImageIndexBuilder* images) {
  const int64_t given = labels.size(), size = images->size();
  if (given > size) {
    return Wrong(list.path, list.lines[size].line, "a label without an image: '", split, "' has ", size);
  }
  if (given < size) {
    return Wrong(list.path, list.lines.back().line, "the list ends here, and image '", (*images)[given].path, "' of '",
                 split, "' (", size, " images) has no label");
  }
  for (int64_t i = 0; i < size; ++i) images->SetLabel(i, labels[i]);
  return absl::OkStatus();
}

absl::Status LabelByName(const GroundTruth& list, const std::vector<int64_t>& labels, const std::string& split,
                         ImageIndexBuilder* images) {
  std::map<absl::string_view, int64_t> lines;
  for (size_t i = 0; i < list.lines.size(); ++i) {
    const auto [entry, added] = lines.emplace(list.lines[i].image, i);
    if (!added) {
      return Wrong(list.path, list.lines[i].line, "image '", list.lines[i].image, "' stands in line ",
                   list.lines[entry->second].line, " too");
    }
  }
  std::vector<int64_t> image_of(labels.size(), -1);
  for (int64_t i = 0; i < images->size(); ++i) {
    const absl::string_view name = BaseName((*images)[i].path);
    auto found = lines.find(name);
    if (found == lines.end()) found = lines.find(Stem(name));
    if (found == lines.end()) return Wrong(list.path, 0, "no label for image '", name, "' of '", split, "'");
    int64_t& image = image_of[found->second];
    if (image >= 0) {
      return Wrong(list.path, list.lines[found->second].line, "'", found->first, "' may be image '",
                   BaseName((*images)[image].path), "' or '", name, "'");
    }
    image = i;
    images->SetLabel(i, labels[found->second]);
  }
  const auto unused = std::find(image_of.begin(), image_of.end(), -1);
  if (unused == image_of.end()) return absl::OkStatus();
  const GroundTruth::Line& line = list.lines[unused - image_of.begin()];
  return Wrong(list.path, line.line, "a label without an image: there is no '", line.image, "' in '", split, "'");
}

}  // namespace

absl::StatusOr<GroundTruth> ParseGroundTruth(absl::string_view text, const std::string& path) {
  const std::vector<absl::string_view> lines = Lines(text);
  GroundTruth list{.path = path};
  const bool csv = !lines.empty() && absl::StartsWith(lines[0], "ImageId,");
  const size_t first = csv ? 1 : 0;
  if (lines.size() <= first) return Wrong(path, 0, "no labels in it");
  list.named = csv || Words(lines[first]).size() == 2;
  for (size_t i = first; i < lines.size(); ++i) {
    GroundTruth::Line line{.line = static_cast<int>(i) + 1};
    if (!Fields(lines[i], csv, list.named, &line)) {
      return Wrong(path, line.line, "'", lines[i].substr(0, 60), "': expected is ",
                   csv          ? "IMAGE,CLASS as after the header ImageId,PredictionString"
                   : list.named ? "IMAGE CLASS, as in the first line"
                                : "one class, or IMAGE CLASS, or a header ImageId,PredictionString");
    }
    const bool number = absl::SimpleAtoi(line.label, &line.number);
    if (i == first) list.numbers = number;
    if (list.numbers && !number) {
      return Wrong(path, line.line, "'", line.label, "' is no number, as the class in the first line is");
    }
    list.lines.push_back(std::move(line));
  }
  return list;
}

absl::StatusOr<ClassOrder> ParseClassOrder(absl::string_view text, const std::string& path) {
  ClassOrder order{.path = path};
  std::map<std::string, int> seen;
  for (absl::string_view line : Lines(text)) {
    const std::vector<absl::string_view> words = Words(line);
    const int number = order.names.size() + 1;
    if (words.empty()) return Wrong(path, number, "an empty line; expected is the WordNet id of class ", number);
    order.names.emplace_back(words[0]);
    const auto [entry, added] = seen.emplace(order.names.back(), number);
    if (!added) return Wrong(path, number, "'", entry->first, "' stands in line ", entry->second, " too");
  }
  if (order.names.empty()) return Wrong(path, 0, "no classes in it");
  return order;
}

absl::StatusOr<std::vector<std::string>> LabelImages(const GroundTruth& list, const ClassOrder& order,
                                                     const std::vector<std::string>& classes, const std::string& split,
                                                     ImageIndexBuilder* images) {
  std::vector<int64_t> labels;
  QWT_ASSIGN_OR_RETURN(std::vector<std::string> names, NumberClasses(list, order, classes, &labels));
  QWT_RETURN_IF_ERROR(list.named ? LabelByName(list, labels, split, images)
                                 : LabelInOrder(list, labels, split, images));
  return names;
}

}  // namespace qwt
