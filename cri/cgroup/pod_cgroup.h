// pod_cgroup.h: the cgroup that a pod's workers and USFs are charged to.
//
// kubelet limits the pod by the parent, which it makes and removes; ours lies below it, for on
// version 2 a cgroup with controllers for its children can hold no processes.
#ifndef USETL_CRI_CGROUP_POD_CGROUP_H_
#define USETL_CRI_CGROUP_POD_CGROUP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cri/cgroup/cgroup_files.h"
#include "cri/cgroup/hierarchies.h"
#include "records.pb.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// How the pod's limits and neighbours have held it up. None: this kernel, or this cgroup, does not
// say. What the pod used is not read here: its USFs' processes are not in the cgroup.
struct CgroupEvents {
  std::optional<uint64_t> periods, throttled_periods, throttled_ns;
  std::optional<uint64_t> memory_failures;  // times that the memory limit was hit
  std::optional<Pressure> cpu, memory, io;  // version 2 only
};

// Knows nothing but paths; thread-safe.
class PodCgroup {
 public:
  // `path` is relative to each hierarchy's mount, as Create() returned it.
  PodCgroup(Hierarchies hierarchies, std::string path)
      : hierarchies_(std::move(hierarchies)), path_(std::move(path)) {}

  // That of a pod below `parent`. EINVAL for a bad parent.
  static Result<std::string> PathFor(const std::string& parent, const std::string& id);
  // In each hierarchy, below the parent that has to be there; with the limits that `resources` has.
  // After an error Remove() is to be called. EIO with the cause.
  Status Create(const runtime::v1::LinuxContainerResources& resources) const;

  // Gives it those limits that `resources` has; the others stay.
  Status Limit(const runtime::v1::LinuxContainerResources& resources) const;

  const std::string& path() const { return path_; }
  // Of each hierarchy, for writing: where a process with one thread moves itself by writing 0. That
  // is "tasks" in version 1: "cgroup.procs" would make every fork of the machine wait for
  // milliseconds (cgroup_threadgroup_rwsem).
  Result<std::vector<Fd>> OpenProcesses() const;
  // Waits up to 2 s for the last process to be gone, for exits take the kernel a moment; EIO when
  // it is not. What is gone already is fine.
  Status Remove() const;
  CgroupEvents ReadEvents() const;

 private:
  Status Make(const Hierarchy& hierarchy,
              const runtime::v1::LinuxContainerResources& resources) const;
  Status LimitIn(const Hierarchy& hierarchy,
                 const runtime::v1::LinuxContainerResources& resources) const;
  // The cgroup above, relative to each hierarchy's mount.
  std::string Parent() const { return path_.substr(0, path_.rfind('/')); }
  std::string Directory(const Hierarchy& hierarchy) const { return hierarchy.mount + path_; }

  Hierarchies hierarchies_;
  std::string path_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CGROUP_POD_CGROUP_H_
