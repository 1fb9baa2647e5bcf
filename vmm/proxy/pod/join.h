// join.h: the first message of a container: how its worker becomes a part of the pod.
#ifndef USETL_VMM_PROXY_POD_JOIN_H_
#define USETL_VMM_PROXY_POD_JOIN_H_

#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/ipc/socket.h"

namespace usetl::pod {

// Whom the function's changes to mounts are made as.
struct Identity {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  uint32_t capabilities = 0;  // of root, see JoinRecord
};

struct Join {
  Fd network;                   // a network namespace
  Fd control;                   // listening, SOCK_SEQPACKET
  Fd exit_file;                 // regular, writable
  std::vector<Fd> cgroups;      // of each hierarchy, writable
  std::vector<Fd> usf_cgroups;  // those of them that the USF enters
  std::vector<Fd> directories;  // that the function may change
  Identity identity;
  int oom_score = 0;  // of this process and the USF's
};

// Checks the record and what each descriptor is. EPROTO says what is wrong.
Result<Join> ReadJoin(ipc::Message message);

// This thread, and whatever it starts, is in the pod's network from here on. REQUIRES: root.
Status EnterNetwork(const Fd& network);

// Whether a thread can enter at once: version 1, microseconds. Version 2 moves whole processes and
// waits for milliseconds.
bool EnteredByThread(const Fd& cgroup);
// Moves this process into the pod's cgroups. Goes on after an error and returns the first.
// REQUIRES: one thread.
Status EnterCgroups(const std::vector<Fd>& cgroups);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_JOIN_H_
