// The batch script of an array job: each of its tasks is one run.
#pragma once

#include <string>
#include <vector>

namespace qwt {

struct ArrayTask {
  std::string run;                     // its name
  std::vector<std::string> arguments;  // of the program
  std::string log;                     // what it prints is appended there
};

struct ArrayJob {
  std::string name;                // of the job: letters, digits and . _ + = -
  std::string folder;              // where jobs start, and with slurm/ in it
  std::vector<ArrayTask> tasks;    // by the index in the array
  int at_a_time = 0;               // of its tasks; 0: as many as the cluster starts
  std::vector<std::string> after;  // "12_0": tasks that must have succeeded
  std::vector<std::string> flags;  // SbatchFlags
  std::vector<std::string> setup;  // lines of shell before each run
  std::string program, home;       // what runs; QWT_HOME
  bool srun = false;               // whether srun starts the ranks
};

// The whole command: sbatch, its options and the path of the script.
std::vector<std::string> SbatchCommand(const ArrayJob& job);
std::string ScriptPath(const ArrayJob& job);
std::string ArrayScript(const ArrayJob& job);

// Words as a shell reads them again: quoted where need be.
std::string ShellWords(const std::vector<std::string>& words);

}  // namespace qwt
