#include "tests/helpers/slurm_cluster.h"

#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "core/comm/rank_settings.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr char kDaemons[] = "/usr/sbin/";
constexpr int kSecondsToStart = 60, kSecondsToEnd = 10;

void Pause(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

std::string UserName() {
  const passwd* user = getpwuid(geteuid());
  return user == nullptr ? "" : user->pw_name;
}

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  const std::string host = name;
  return host.substr(0, host.find('.'));
}

}  // namespace

std::string SlurmCluster::Missing() {
  for (const char* program : {"/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/sbatch"}) {
    if (access(program, X_OK) != 0) return "Debian's packages munge and slurm-wlm";
  }
  return UserName().empty() ? "a name for this user in /etc/passwd" : "";
}

void SlurmCluster::LeaveRoot(char** argv) {
  if (geteuid() != 0) return;
  // The user "daemon", whom every /etc/passwd has.
  std::vector<char*> command;
  for (const char* word : {"/usr/bin/unshare", "--user", "--map-user=1", "--map-group=1"}) {
    command.push_back(const_cast<char*>(word));
  }
  if (RunProgram({command[0], command[1], command[2], command[3], "/bin/true"}).exit_code != 0) return;
  for (; *argv != nullptr; ++argv) command.push_back(*argv);
  command.push_back(nullptr);
  execv(command[0], command.data());
}

SlurmCluster::SlurmCluster(const std::string& folder)
    : folder_(folder),
      environment_({{"SLURM_CONF", folder + "/slurm.conf"}, {"PATH", "/usr/bin:/bin:/usr/sbin:/sbin"}}) {
  for (const char* name : {"/munge", "/state", "/spool"}) fs::create_directories(folder + name);
  MakeFile(folder + "/munge/key", std::string(64, 'k') + folder);
  chmod((folder + "/munge/key").c_str(), 0400);
  MakeFile(folder + "/slurm.conf", Configuration(*FreePort(), *FreePort()));
  const auto start = [&](std::vector<std::string> command) {
    command[0] = kDaemons + command[0];
    daemons_.push_back(std::make_unique<Program>(command, environment_));
  };
  const std::string munge = folder + "/munge";
  start({"munged", "--foreground", "--force", "--key-file=" + munge + "/key", "--socket=" + munge + "/socket",
         "--pid-file=" + munge + "/pid", "--log-file=" + munge + "/log", "--seed-file=" + munge + "/seed"});
  const auto is_up = [&] { return Ask({"sinfo", "--noheader", "--partition=main", "--format=%T"}) == "idle\n"; };
  if (!Await([&] { return fs::exists(munge + "/socket"); })) return;
  start({"slurmctld", "-D", "-f", folder + "/slurm.conf"});
  start({"slurmd", "-D", "-f", folder + "/slurm.conf"});
  Await(is_up);
}

SlurmCluster::~SlurmCluster() {
  Ask({"scancel", "--full", "--signal=KILL", "--user=" + UserName()});
  for (int tenths = 0; tenths < kSecondsToEnd * 10 && !Ask({"squeue", "--noheader"}).empty(); ++tenths) Pause(100);
  // The machine before the controller, munged last.
  for (auto daemon = daemons_.rbegin(); daemon != daemons_.rend(); ++daemon) {
    kill((*daemon)->pid(), SIGTERM);
    for (int tenths = 0; tenths < kSecondsToEnd * 10 && (*daemon)->running(); ++tenths) Pause(100);
    if ((*daemon)->running()) kill((*daemon)->pid(), SIGKILL);
    (*daemon)->Wait();
  }
}

bool SlurmCluster::Await(const std::function<bool()>& is_there) const {
  for (int tenths = 0; tenths < kSecondsToStart * 10; ++tenths) {
    if (is_there()) return true;
    Pause(100);
  }
  ADD_FAILURE() << "the cluster does not come up: " << Logs();
  return false;
}

std::string SlurmCluster::Ask(std::vector<std::string> command) const {
  command[0] = "/usr/bin/" + command[0];
  return RunProgram(command, environment_).out;
}

std::string SlurmCluster::Configuration(int controller_port, int machine_port) const {
  const std::string user = UserName(), host = HostName();
  return "ClusterName=test\nSlurmctldHost=" + host + "(127.0.0.1)\nSlurmUser=" + user + "\nSlurmdUser=" + user +
         "\nAuthType=auth/munge\nCredType=cred/munge\n"
         // A requeued job waits for its credential to expire.
         "AuthInfo=socket=" +
         folder_ + "/munge/socket,cred_expire=5\nSlurmctldPort=" + std::to_string(controller_port) +
         "\nSlurmdPort=" + std::to_string(machine_port) + "\nSlurmctldPidFile=" + folder_ +
         "/slurmctld.pid\nSlurmdPidFile=" + folder_ + "/slurmd.pid\nStateSaveLocation=" + folder_ +
         "/state\nSlurmdSpoolDir=" + folder_ + "/spool\nSlurmctldLogFile=" + folder_ +
         "/slurmctld.log\nSlurmdLogFile=" + folder_ +
         "/slurmd.log\n"
         "ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nMpiDefault=none\nSwitchType=switch/none\n"
         "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nSchedulerType=sched/builtin\n"
         "SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0\n"
         "AccountingStorageType=accounting_storage/none\nJobAcctGatherType=jobacct_gather/none\n"
         "PreemptType=preempt/partition_prio\nPreemptMode=CANCEL\n"
         "SlurmdParameters=config_overrides\nReturnToService=2\nKillWait=5\nNodeName=" +
         host + " NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\nPartitionName=main Nodes=" + host +
         " Default=YES PriorityTier=1\nPartitionName=urgent Nodes=" + host + " PriorityTier=2\n";
}

std::string SlurmCluster::Logs() const {
  std::string logs;
  for (const char* log : {"/munge/log", "/slurmctld.log", "/slurmd.log"}) {
    const std::string text = Contents(folder_ + log);
    logs += std::string("\n--- ") + log + "\n" + (text.size() > 4000 ? text.substr(text.size() - 4000) : text);
  }
  return logs;
}

}  // namespace qwt
