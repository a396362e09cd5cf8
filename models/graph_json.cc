// A graph as JSON: {"name", "channels", "height", "width", "classes", "stem": SEGMENT, "blocks": [SEGMENT],
// "transitions": [{"before": the block's index, "segment": SEGMENT}], "head": SEGMENT, "parameters": [{"name",
// "shape"}]}; SEGMENT = {"name", "nodes": [{"name", "op", "inputs", "weight", "bias", "mean", "variance",
// "attributes"}]}. The transitions and what follows a node's inputs are left out where empty.
#include <algorithm>
#include <climits>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "models/graph.h"

namespace qwt {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Node& node) {
  Json json = {{"name", node.name}, {"op", OpName(node.op)}, {"inputs", node.inputs}};
  if (!node.weight.empty()) json["weight"] = node.weight;
  if (!node.bias.empty()) json["bias"] = node.bias;
  if (!node.mean.empty()) json["mean"] = node.mean;
  if (!node.variance.empty()) json["variance"] = node.variance;
  if (!node.attributes.empty()) json["attributes"] = node.attributes;
  return json;
}

Json ToJson(const Segment& segment) {
  Json nodes = Json::array();
  for (const Node& node : segment.nodes) nodes.push_back(ToJson(node));
  return {{"name", segment.name}, {"nodes", std::move(nodes)}};
}

absl::Status Wrong(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("graph JSON: ", where, " ", what));
}

const char* Wanted(const std::string*) { return "must be a string"; }
const char* Wanted(const int64_t*) { return "must be an integer"; }
const char* Wanted(const int*) { return "must be an integer"; }
const char* Wanted(const double*) { return "must be a number"; }
bool Matches(const Json& json, const std::string*) { return json.is_string(); }
bool Matches(const Json& json, const int64_t*) {
  return json.is_number_integer() && (!json.is_number_unsigned() || json.get<uint64_t>() <= uint64_t{INT64_MAX});
}
bool Matches(const Json& json, const int*) {
  const int64_t* any = nullptr;
  return Matches(json, any) && json.get<int64_t>() >= INT_MIN && json.get<int64_t>() <= INT_MAX;
}
bool Matches(const Json& json, const double*) { return json.is_number(); }

// One object of the text; every error tells its path ("blocks[2].nodes[0]").
class Object {
 public:
  static absl::StatusOr<Object> Make(const Json& json, std::string where) {
    if (!json.is_object()) return Wrong(where.empty() ? "the text" : where, "must be an object");
    return Object(json, std::move(where));
  }

  bool Has(const char* key) const { return json_->contains(key); }
  std::string Where(const std::string& key) const { return where_.empty() ? key : absl::StrCat(where_, ".", key); }
  const Json& json() const { return *json_; }

  template <typename T>
  absl::Status Read(const char* key, T* value) const {
    if (!Has(key)) return Wrong(Where(key), "is missing");
    return ReadValue((*json_)[key], Where(key), value);
  }

  template <typename T>
  absl::Status Read(const char* key, std::vector<T>* values) const {
    return ForEach(key, [values](const Json& element, const std::string& where) {
      values->emplace_back();
      return ReadValue(element, where, &values->back());
    });
  }

  absl::StatusOr<Object> Child(const char* key) const {
    if (!Has(key)) return Wrong(Where(key), "is missing");
    return Make((*json_)[key], Where(key));
  }

  // function(element, where) for each element of a list.
  template <typename Function>
  absl::Status ForEach(const char* key, Function function) const {
    if (!Has(key)) return Wrong(Where(key), "is missing");
    const Json& list = (*json_)[key];
    if (!list.is_array()) return Wrong(Where(key), "must be a list");
    for (size_t i = 0; i < list.size(); ++i) {
      QWT_RETURN_IF_ERROR(function(list[i], absl::StrCat(Where(key), "[", i, "]")));
    }
    return absl::OkStatus();
  }

  absl::Status AllowOnly(const std::vector<std::string>& keys) const {
    for (const auto& [key, value] : json_->items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        return Wrong(Where(key), absl::StrCat("is unknown; allowed are ", absl::StrJoin(keys, ", ")));
      }
    }
    return absl::OkStatus();
  }

  template <typename T>
  static absl::Status ReadValue(const Json& json, const std::string& where, T* value) {
    if (!Matches(json, value)) return Wrong(where, absl::StrCat(Wanted(value), ", is ", json.dump()));
    *value = json.get<T>();
    return absl::OkStatus();
  }

 private:
  Object(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {}

  const Json* json_;
  std::string where_;
};

absl::StatusOr<Node> ReadNode(const Json& json, const std::string& where) {
  QWT_ASSIGN_OR_RETURN(const Object object, Object::Make(json, where));
  QWT_RETURN_IF_ERROR(object.AllowOnly({"name", "op", "inputs", "weight", "bias", "mean", "variance", "attributes"}));
  Node node;
  std::string op;
  QWT_RETURN_IF_ERROR(object.Read("name", &node.name));
  QWT_RETURN_IF_ERROR(object.Read("op", &op));
  absl::StatusOr<Op> found = OpFromName(op);
  if (!found.ok()) return Wrong(object.Where("op"), absl::StrCat("is an ", found.status().message()));
  node.op = *found;
  QWT_RETURN_IF_ERROR(object.Read("inputs", &node.inputs));
  for (const auto& [key, name] : {std::pair("weight", &node.weight), std::pair("bias", &node.bias),
                                  std::pair("mean", &node.mean), std::pair("variance", &node.variance)}) {
    if (object.Has(key)) QWT_RETURN_IF_ERROR(object.Read(key, name));
  }
  if (object.Has("attributes")) {
    QWT_ASSIGN_OR_RETURN(const Object attributes, object.Child("attributes"));
    for (const auto& [key, value] : attributes.json().items()) {
      QWT_RETURN_IF_ERROR(Object::ReadValue(value, attributes.Where(key), &node.attributes[key]));
    }
  }
  return node;
}

absl::StatusOr<Segment> ReadSegment(const Json& json, const std::string& where) {
  QWT_ASSIGN_OR_RETURN(const Object object, Object::Make(json, where));
  QWT_RETURN_IF_ERROR(object.AllowOnly({"name", "nodes"}));
  Segment segment;
  QWT_RETURN_IF_ERROR(object.Read("name", &segment.name));
  QWT_RETURN_IF_ERROR(object.ForEach("nodes", [&](const Json& element, const std::string& place) -> absl::Status {
    QWT_ASSIGN_OR_RETURN(Node node, ReadNode(element, place));
    segment.nodes.push_back(std::move(node));
    return absl::OkStatus();
  }));
  return segment;
}

absl::Status ReadTransition(const Json& json, const std::string& where, Graph* graph) {
  QWT_ASSIGN_OR_RETURN(const Object object, Object::Make(json, where));
  QWT_RETURN_IF_ERROR(object.AllowOnly({"before", "segment"}));
  int before = 0;
  QWT_RETURN_IF_ERROR(object.Read("before", &before));
  QWT_ASSIGN_OR_RETURN(const Object segment, object.Child("segment"));
  QWT_ASSIGN_OR_RETURN(Segment transition, ReadSegment(segment.json(), object.Where("segment")));
  if (graph->transitions.emplace(before, std::move(transition)).second) return absl::OkStatus();
  return Wrong(object.Where("before"), absl::StrCat("is ", before, " as in another transition"));
}

absl::StatusOr<Graph> ReadGraph(const Json& json) {
  QWT_ASSIGN_OR_RETURN(const Object object, Object::Make(json, ""));
  QWT_RETURN_IF_ERROR(object.AllowOnly(
      {"name", "channels", "height", "width", "classes", "stem", "blocks", "transitions", "head", "parameters"}));
  Graph graph;
  QWT_RETURN_IF_ERROR(object.Read("name", &graph.name));
  QWT_RETURN_IF_ERROR(object.Read("channels", &graph.channels));
  QWT_RETURN_IF_ERROR(object.Read("height", &graph.height));
  QWT_RETURN_IF_ERROR(object.Read("width", &graph.width));
  QWT_RETURN_IF_ERROR(object.Read("classes", &graph.classes));
  QWT_ASSIGN_OR_RETURN(const Object stem, object.Child("stem"));
  QWT_ASSIGN_OR_RETURN(graph.stem, ReadSegment(stem.json(), "stem"));
  QWT_RETURN_IF_ERROR(object.ForEach("blocks", [&](const Json& element, const std::string& where) -> absl::Status {
    QWT_ASSIGN_OR_RETURN(Segment block, ReadSegment(element, where));
    graph.blocks.push_back(std::move(block));
    return absl::OkStatus();
  }));
  if (object.Has("transitions")) {
    QWT_RETURN_IF_ERROR(object.ForEach("transitions", [&](const Json& element, const std::string& where) {
      return ReadTransition(element, where, &graph);
    }));
  }
  QWT_ASSIGN_OR_RETURN(const Object head, object.Child("head"));
  QWT_ASSIGN_OR_RETURN(graph.head, ReadSegment(head.json(), "head"));
  QWT_RETURN_IF_ERROR(object.ForEach("parameters", [&](const Json& element, const std::string& where) -> absl::Status {
    QWT_ASSIGN_OR_RETURN(const Object spec, Object::Make(element, where));
    QWT_RETURN_IF_ERROR(spec.AllowOnly({"name", "shape"}));
    graph.parameters.emplace_back();
    QWT_RETURN_IF_ERROR(spec.Read("name", &graph.parameters.back().name));
    return spec.Read("shape", &graph.parameters.back().shape);
  }));
  return graph;
}

}  // namespace

std::string GraphToJson(const Graph& graph) {
  Json json = {{"name", graph.name},   {"channels", graph.channels}, {"height", graph.height},
               {"width", graph.width}, {"classes", graph.classes},   {"stem", ToJson(graph.stem)}};
  json["blocks"] = Json::array();
  for (const Segment& block : graph.blocks) json["blocks"].push_back(ToJson(block));
  for (const auto& [before, segment] : graph.transitions) {
    json["transitions"].push_back({{"before", before}, {"segment", ToJson(segment)}});
  }
  json["head"] = ToJson(graph.head);
  json["parameters"] = Json::array();
  for (const ParameterSpec& spec : graph.parameters) {
    json["parameters"].push_back({{"name", spec.name}, {"shape", spec.shape}});
  }
  return json.dump();
}

absl::StatusOr<Graph> GraphFromJson(const std::string& text) {
  Json json;
  QWT_RETURN_IF_ERROR(CatchExceptions("graph JSON", [&] {
    try {
      json = Json::parse(text);
    } catch (const Json::parse_error& error) {
      return absl::InvalidArgumentError(absl::StrCat("graph JSON: ", error.what()));
    }
    return absl::OkStatus();
  }));
  QWT_ASSIGN_OR_RETURN(Graph graph, ReadGraph(json));
  QWT_RETURN_IF_ERROR(ValidateGraph(graph));
  return graph;
}

}  // namespace qwt
