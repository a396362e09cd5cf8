// A SLURM cluster of one machine: munged, slurmctld and slurmd of Debian's packages, in a folder of its own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/helpers/program.h"

namespace qwt {

class SlurmCluster {
 public:
  // What has to be installed for it; "" where all is there.
  static std::string Missing();

  // As root: starts the program anew as another user of a user namespace, where there are such. In Bazel's sandbox root
  // may not drop its groups, without which no daemon of root's starts. The first thing in main().
  static void LeaveRoot(char** argv);

  // folder: empty, with a short path (munged's socket lies in it). Fails the test, quoting the daemons, where the
  // cluster does not come up. Two partitions of the same two cores: `main` and, which ends main's jobs for its own,
  // `urgent`.
  explicit SlurmCluster(const std::string& folder);
  ~SlurmCluster();
  SlurmCluster(const SlurmCluster&) = delete;

  // SLURM_CONF and PATH: of programs that use it.
  const std::map<std::string, std::string>& environment() const { return environment_; }
  // One of SLURM's commands: {"squeue", "-h"}; what it printed.
  std::string Ask(std::vector<std::string> command) const;

 private:
  bool Await(const std::function<bool()>& is_there) const;
  std::string Configuration(int controller_port, int machine_port) const;
  std::string Logs() const;

  const std::string folder_;
  std::map<std::string, std::string> environment_;
  std::vector<std::unique_ptr<Program>> daemons_;
};

}  // namespace qwt
