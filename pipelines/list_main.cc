// bazel run //pipelines:list [-- --markdown]: every registered component with its options.
#include <iostream>
#include <string>

#include "core/registry/markdown.h"
#include "pipelines/config_docs.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--markdown") {
    std::cout << qwt::ConfigDocs();
  } else if (argc == 1) {
    std::cout << qwt::RegistriesToText();
  } else {
    std::cerr << "usage: list [--markdown]\n";
    return 2;
  }
}
