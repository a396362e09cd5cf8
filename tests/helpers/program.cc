#include "tests/helpers/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "gtest/gtest.h"

extern char** environ;

namespace qwt {

Program::Program(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment) {
  static int started = 0;
  const std::string base =
      testing::TempDir() + "/program_" + std::to_string(getpid()) + "_" + std::to_string(started++);
  out_path_ = base + ".out";
  err_path_ = base + ".err";
  std::map<std::string, std::string> variables = {{"HOME", testing::TempDir()}, {"PATH", "/usr/bin:/bin"}};
  for (const auto& [name, value] : environment) variables[name] = value;
  std::vector<std::string> texts;
  for (const auto& [name, value] : variables) texts.push_back(name + "=" + value);
  std::vector<char*> argv, envp;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  for (const std::string& text : texts) envp.push_back(const_cast<char*>(text.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  // No test goes on without its program: to signal pid() would be to signal -1, which is every process there is.
  if (error != 0 || pid_ <= 0) {
    std::cerr << "cannot start " << arguments[0] << ": " << std::strerror(error) << std::endl;
    std::abort();
  }
}

bool Program::running() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return !ended_;
}

std::string Program::Output() const { return Contents(out_path_); }

ProgramResult Program::Wait() {
  if (!ended_) waitpid(pid_, &status_, 0);
  ended_ = true;
  ProgramResult result;
  if (WIFEXITED(status_)) result.exit_code = WEXITSTATUS(status_);
  if (WIFSIGNALED(status_)) result.signal = WTERMSIG(status_);
  result.out = Contents(out_path_);
  result.err = Contents(err_path_);
  return result;
}

ProgramResult RunProgram(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment) {
  return Program(arguments, environment).Wait();
}

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

void MakeFile(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  ASSERT_TRUE(file.flush().good()) << path;
}

std::string TestFolder(const std::string& name) {
  const std::string path = (std::filesystem::path(testing::TempDir()) / name).string();
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace qwt
