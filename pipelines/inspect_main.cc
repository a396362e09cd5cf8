// bazel run //models:inspect -- NAME|CONFIG|SAVED_MODEL [model.KEY=VALUE ...] [--weights=FILE ...] [--parameters]
// [--batch=N]
// [--json]
#include <CLI/CLI.hpp>
#include <iostream>

#include "absl/strings/match.h"
#include "core/base/log.h"
#include "core/base/paths.h"
#include "core/base/status.h"
#include "core/base/text_table.h"
#include "core/tensor/parallel.h"
#include "models/parameters.h"
#include "models/registry.h"
#include "pipelines/exit_code.h"
#include "pipelines/home.h"
#include "pipelines/inspect_request.h"
#include "pipelines/inspection.h"
#include "pipelines/saved_inspection.h"

namespace qwt {
namespace {

struct InspectArguments {
  std::string network;
  std::vector<std::string> overrides, weights;
  int64_t batch = 1;
  bool json = false, parameters = false;
};

std::string ListOfNetworks() {
  std::vector<std::vector<std::string>> rows;
  for (const auto& model : ModelRegistry::Get().Descriptions()) rows.push_back({model.name, model.doc});
  return "Networks (`./bazelw run //pipelines:list` has their options):\n" +
         TextTable({Align::kLeft, Align::kLeft}, rows);
}

absl::Status InspectSaved(const InspectArguments& arguments) {
  if (!arguments.overrides.empty() || !arguments.weights.empty() || arguments.parameters || arguments.batch != 1) {
    return absl::InvalidArgumentError("a saved model is printed as it is; the only option is --json");
  }
  QWT_ASSIGN_OR_RETURN(const SavedModel saved, OpenSavedModel(AbsolutePath(arguments.network)));
  std::cout << (arguments.json ? SavedModelToJson(saved) : SavedModelToText(saved));
  return absl::OkStatus();
}

absl::Status Inspect(const InspectArguments& arguments) {
  if (absl::EndsWith(arguments.network, ".safetensors")) return InspectSaved(arguments);
  QWT_ASSIGN_OR_RETURN(const InspectRequest request,
                       CheckInspectRequest(arguments.network, arguments.overrides, arguments.weights));
  QWT_ASSIGN_OR_RETURN(NetworkInspection network, InspectNetwork(request.graph, arguments.batch));
  if (!request.weights.files.empty()) {
    QWT_ASSIGN_OR_RETURN(const TensorMap parameters, LoadParameters(request.weights, request.graph));
    const int threads = ResolveThreads(0, /*local_ranks=*/1);
    QWT_RETURN_IF_ERROR(InspectWeights(request.graph, parameters, threads, &network));
  }
  std::cout << (arguments.json ? InspectionToJson(network) : InspectionToText(network, arguments.parameters));
  return absl::OkStatus();
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  CLI::App app{
      "Prints a network: its blocks with shapes, parameters, multiply-accumulates and memory, and what of it can be "
      "quantised; or a saved quantised model: its sites, compensation, sizes and origin.\nExit codes: 0 done, 1 "
      "failed, 2 the request was wrong. docs/inspect.md explains every figure."};
  qwt::InspectArguments arguments;
  app.add_option("network", arguments.network,
                 "A network's name, a config file: its model section, or a run's "
                 "model.safetensors.");
  app.add_option("overrides", arguments.overrides, "model.KEY=VALUE: replaces one value of the model section.");
  app.add_option(
         "--weights", arguments.weights,
         "A file of the network's parameters, once for each of several: adds every weight's range and outliers, "
         "and what 4 bits leave of it, 10 log10(sum w^2 / sum (w - quantised w)^2) in dB.")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_option("--batch", arguments.batch, "Images computed together: for MACs and live activations.")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str()
      ->take_last();
  app.add_flag("--json", arguments.json, "JSON instead of tables.");
  app.add_flag("--parameters", arguments.parameters, "A line for each parameter, too.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? qwt::kDone : qwt::kRequestWrong;
  }
  if (arguments.network.empty()) {
    std::cout << app.help() << "\n" << qwt::ListOfNetworks();
    return qwt::kDone;
  }
  qwt::InitLogging(argv[0]);
  qwt::SetHome(argv[0]);
  const absl::Status status = qwt::Inspect(arguments);
  if (status.ok()) return qwt::kDone;
  std::cerr << "error: " << status.message() << std::endl;
  return qwt::IsRequestWrong(status) ? qwt::kRequestWrong : qwt::kRunFailed;
}
