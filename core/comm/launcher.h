// --nproc=N: N copies of this program as ranks on this machine.
#pragma once

namespace qwt {

// Starts `ranks` copies of the running program with the same arguments and RANK, LOCAL_RANK, WORLD_SIZE,
// LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT in their environment, and waits. Where one ends with another code than
// 0 the others have two seconds to hear of it and end; then they get SIGTERM and, six seconds later, SIGKILL; its code
// is returned (1 for one that a signal ended, with a line on stderr that says which). SIGINT and SIGTERM are passed on
// once and give 130.
int LaunchLocalRanks(int ranks, char** argv);

}  // namespace qwt
