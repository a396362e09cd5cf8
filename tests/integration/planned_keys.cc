#include "tests/integration/planned_keys.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

std::string Idx(const std::string& dimensions, int count, const std::string& values) {
  return std::string("\0\0\x8", 3) + static_cast<char>(dimensions.size() / 4 + 1) + std::string(3, '\0') +
         static_cast<char>(count) + dimensions + values;
}

}  // namespace

PlannedKeys KeysOf(const std::string& yaml, const std::vector<std::string>& overrides, const Placement& placement) {
  PlannedKeys planned;
  const auto config = ParseConfig(yaml, "keys.yaml", overrides);
  planned.status = config.status();
  if (!config.ok()) return planned;
  Problems problems;
  Request request = CheckRequest(*config, &problems);
  planned.status = problems.ToStatus();
  if (!planned.status.ok()) return planned;
  const Plan plan = MakePlan(std::move(request), placement, &problems);
  planned.status = problems.ToStatus();
  if (!planned.status.ok()) return planned;
  for (const PlannedStage& stage : plan.stages) {
    for (size_t i = 0; i < stage.keys.size(); ++i) {
      planned.keys[stage.name == "evaluate" ? stage.entries[i] : stage.name] += stage.keys[i].text();
    }
    for (const StoreKey& key : stage.shared) planned.keys["sums"] += key.text();
    if (!stage.values_key.empty()) planned.keys["values"] = stage.values_key;
  }
  planned.hash = PlanHash(plan);
  planned.request = plan.request;
  return planned;
}

std::set<std::string> Changed(const PlannedKeys& before, const PlannedKeys& after) {
  std::set<std::string> changed;
  for (const auto& [name, key] : before.keys) {
    const auto found = after.keys.find(name);
    if (found != after.keys.end() && found->second != key) changed.insert(name);
  }
  return changed;
}

std::set<std::string> AllKeys() {
  std::set<std::string> keys = AfterCalibrate();
  keys.insert("float");
  return keys;
}

std::set<std::string> AfterCalibrate() {
  std::set<std::string> keys = OfFitImages();
  keys.insert({"calibrate", "quantize", "quantized"});
  return keys;
}

std::set<std::string> OfFitImages() { return {"sums", "values", "fit", "compensated", "diagnose"}; }

std::set<std::string> AfterFit() { return {"fit", "compensated", "diagnose"}; }

std::string KeysConfig::Yaml() const {
  return absl::StrCat("name: keys\nstages: [load, calibrate, quantize, fit, evaluate, diagnose]\nmodel: ", model,
                      "\ndataset: ", dataset,
                      "\ncalibrate: {images: 8, order: first, transform: eval}\nquantize: {method: ", method,
                      "}\nfit: {images: 8, order: first, transform: eval, compensator: ", compensator,
                      "}\nevaluate: {images: 10}\ndiagnose: {images: 4}\nexpected: {of: W4/A4, float: 80, quantized: "
                      "60, compensated: 70}\nruntime: {store: ",
                      testing::TempDir(), "/no_store}\n");
}

std::string KeysConfig::WeightsFile() {
  const std::string path = testing::TempDir() + "/weights";
  MakeFile(path, "some weights");
  return path;
}

std::string IdxFolder(const std::string& name, char grey) {
  const std::string root = TestFolder(name), side("\0\0\0\x1c", 4);
  for (const std::string split : {"train", "t10k"}) {
    MakeFile(root + "/" + split + "-images-idx3-ubyte", Idx(side + side, 40, std::string(40 * 28 * 28, grey)));
    MakeFile(root + "/" + split + "-labels-idx1-ubyte", Idx("", 40, std::string(40, '\1')));
  }
  return root;
}

std::map<std::string, std::string> OptionsWithoutEffect() {
  return {{"runtime.device", "cpu"},
          {"runtime.ranks", "2"},
          {"runtime.store", "another"},
          {"runtime.threads", "2"},
          {"evaluate.crop_cache", "true"},
          {"fit.store_sums", "true"},
          {"runtime.cache_bytes", "100kB"},
          {"runtime.host_cache_bytes", "0"},
          {"runtime.stored_cache_bytes", "100MB"}};
}

}  // namespace qwt
