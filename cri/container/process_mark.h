// process_mark.h: which process a number means, also after it has ended and the number is used
// again.
#ifndef USETL_CRI_CONTAINER_PROCESS_MARK_H_
#define USETL_CRI_CONTAINER_PROCESS_MARK_H_

#include <sys/types.h>

#include <cstdint>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

struct ProcessMark {
  pid_t pid = 0;
  uint64_t started = 0;  // ticks of /proc/PID/stat, which count from a boot, and which boot that is
};

// Of the process that a pidfd means. ESRCH: it has ended.
Result<ProcessMark> MarkOf(const Fd& process);
// The pidfd of that one. ESRCH: it has ended, whoever has its number now.
Result<Fd> OpenProcess(const ProcessMark& mark);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_PROCESS_MARK_H_
