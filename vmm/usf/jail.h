// jail.h: locks a usf process up before the guest runs for the first time.
#ifndef USETL_VMM_USF_JAIL_H_
#define USETL_VMM_USF_JAIL_H_

#include <cstdint>

#include "vmm/base/status.h"

namespace usetl {

enum class JailPurpose {
  kServe,  // a usf process
  kBake,   // one that takes a snapshot at the end: it may write to the files that it has
};

struct JailConfig {
  uint32_t uid;       // user and group of this USF alone
  int empty_root_fd;  // becomes the root directory
  int network_fd;     // an empty network namespace, shared by USFs
  JailPurpose purpose = JailPurpose::kServe;
  uint64_t most_file = 0;  // bytes, of each file that it writes
};

// In this order: namespaces, empty root, resource limits, no capabilities, own uid, no_new_privs,
// seccomp. REQUIRES: one thread, root. Nothing can be undone afterwards.
Status EnterJail(const JailConfig& config);

}  // namespace usetl

#endif  // USETL_VMM_USF_JAIL_H_
