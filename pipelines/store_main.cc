// bazel run //pipelines:store -- ls [KIND|HASH] [--entries] | verify [--drop] | gc --keep=SIZE|TIME [--dry_run]
// [--store=DIR]
#include <CLI/CLI.hpp>
#include <iostream>

#include "core/base/log.h"
#include "core/base/paths.h"
#include "core/base/status.h"
#include "core/store/store.h"
#include "pipelines/exit_code.h"
#include "pipelines/store_commands.h"

namespace qwt {
namespace {

struct StoreArguments {
  std::string store = kDefaultStore, what;
  std::vector<std::string> keep;
  bool entries = false, drop = false, dry_run = false;
};

absl::StatusOr<ExitCode> Execute(const std::string& command, const StoreArguments& arguments) {
  const std::string root = AbsolutePath(arguments.store);
  if (command == "ls") {
    QWT_ASSIGN_OR_RETURN(const std::string text, StoreToText(root, arguments.what, arguments.entries));
    std::cout << text;
    return kDone;
  }
  if (command == "verify") {
    QWT_ASSIGN_OR_RETURN(const Verification verification, VerifyStore(root, arguments.drop));
    std::cout << verification.text;
    return verification.damaged == 0 ? kDone : kRunFailed;
  }
  QWT_ASSIGN_OR_RETURN(const Keep keep, ParseKeep(arguments.keep));
  QWT_ASSIGN_OR_RETURN(const std::string text, CollectToText(root, keep, arguments.dry_run));
  std::cout << text;
  return kDone;
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  CLI::App app{
      "Shows, checks and clears the store, in which runs keep what they make. Whatever is removed is made again by the "
      "next run that needs it.\nExit codes: 0 done, 1 failed, or damaged entries were found, 2 the request was wrong. "
      "docs/store.md."};
  app.require_subcommand(1);
  app.fallthrough();
  qwt::StoreArguments arguments;
  app.add_option("--store", arguments.store, "The store's folder, a run's runtime.store.")
      ->type_name("DIR")
      ->capture_default_str();
  CLI::App* ls = app.add_subcommand("ls", "What holds the disk, by kind of entry.");
  ls->add_option("what", arguments.what, "The entries of this kind, or the one whose hash begins so: its whole key.");
  ls->add_flag("--entries", arguments.entries, "A line for each entry.");
  CLI::App* verify = app.add_subcommand("verify", "Reads every entry and compares its checksum.");
  verify->add_flag("--drop", arguments.drop, "Removes damaged entries.");
  CLI::App* gc =
      app.add_subcommand("gc", "Removes entries, the least recently used first. Those that a run uses stay.");
  gc->add_option("--keep", arguments.keep,
                 "What may be left: a size as 20GB, or the time since last use as 30d; both may be given.")
      ->type_name("SIZE|TIME")
      ->required()
      ->allow_extra_args(false);
  gc->add_flag("--dry_run", arguments.dry_run, "Only says what it would remove.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? qwt::kDone : qwt::kRequestWrong;
  }
  qwt::InitLogging(argv[0]);
  const auto code = qwt::Execute(app.get_subcommands()[0]->get_name(), arguments);
  if (code.ok()) return *code;
  std::cerr << "error: " << code.status().message() << std::endl;
  return qwt::IsRequestWrong(code.status()) ? qwt::kRequestWrong : qwt::kRunFailed;
}
