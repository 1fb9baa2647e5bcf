// cgroups.h: what usetl-vmmd asks of cgroups.
#ifndef USETL_VMM_VMMD_CGROUPS_H_
#define USETL_VMM_VMMD_CGROUPS_H_

#include <sys/types.h>

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// Whether it is a file of a cgroup, open for writing: nobody but root can open those.
bool IsCgroupFile(const Fd& file);
// Whether a file is in a hierarchy of version 1.
bool IsOfVersion1(const Fd& file);
// Whether they are of different hierarchies of version 1, or one of version 2: more than a process
// can enter, or the same again, only costs time.
bool AreOfOneProcess(std::span<const Fd> files);

// The files "tasks" of the cgroups of version 1 that a process is in, of which /proc has these
// texts "mountinfo" and "cgroup". Several for a hierarchy that is mounted several times.
std::vector<std::string> TaskFiles(std::string_view mountinfo, std::string_view cgroup);

// The cgroups of version 1 that this process is in.
class HomeCgroups {
 public:
  // As they are now. One that cannot be reached is left out.
  static Result<HomeCgroups> Find();
  // The file "tasks" in the hierarchy that `file` is of; -1: there is none. It stays ours.
  int InHierarchyOf(const Fd& file) const;

 private:
  std::map<dev_t, Fd> tasks_;  // by the hierarchy's device, not to be read or written
};

// Whether the cgroup whose "tasks" or "cgroup.procs" this is has the process. One that was removed
// has none.
Result<bool> HasProcess(const Fd& file, pid_t process);

// Whether a process has a descriptor of a file of any cgroup.
Result<bool> HoldsCgroupFile(pid_t process);

// Whether the peer of a Unix socket has received whatever was sent to it, descriptors and all.
Result<bool> HasReceivedAll(int socket);

}  // namespace usetl

#endif  // USETL_VMM_VMMD_CGROUPS_H_
