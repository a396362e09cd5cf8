// Runs one of the project's programs as a user does, for integration tests.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace qwt {

struct ProgramResult {
  int exit_code = -1;  // -1: ended by `signal`
  int signal = 0;
  std::string out, err;
};

// A started program; its output goes to files under the test's folder.
class Program {
 public:
  // arguments[0]: the program, relative to the runfiles root. HOME is the test's folder.
  explicit Program(const std::vector<std::string>& arguments,
                   const std::map<std::string, std::string>& environment = {});
  pid_t pid() const { return pid_; }
  bool running();
  std::string Output() const;  // of stdout so far
  ProgramResult Wait();

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::string out_path_, err_path_;
};

ProgramResult RunProgram(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment = {});

std::string Contents(const std::string& path);  // "" where it cannot be read
void MakeFile(const std::string& path, const std::string& content);
std::string TestFolder(const std::string& name);  // a fresh folder under the test's temporary one

}  // namespace qwt
