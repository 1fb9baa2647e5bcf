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
// say. What the pod used is not read here: its USFs had used some of it before they came, and of
// version 1 they are not in the cgroup of memory.
struct CgroupEvents {
  std::optional<uint64_t> periods, throttled_periods, throttled_ns;
  std::optional<uint64_t> memory_failures;  // times that the memory limit was hit
  std::optional<Pressure> cpu, memory, io;  // version 2 only
};

// Where a process enters a cgroup, open for writing.
struct CgroupFile {
  Fd file;
  bool for_usf = false;  // a USF enters it too. Not that of memory in version 1: what a process has
                         // touched stays charged there, and a USF goes back to the pool
};

// A container of the pod has a cgroup of its own, below the pod's, for limits of its own: of the
// processor, and cpusets; usetl-vmmd limits its memory. In version 1 only in the hierarchies of
// those that it has, in version 2 always: a cgroup with children holds no processes.
//
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

  // In all hierarchies.
  bool IsThere() const;
  // Gives it those limits that `resources` has; the others stay.
  Status Limit(const runtime::v1::LinuxContainerResources& resources) const;

  const std::string& path() const { return path_; }
  // Of each hierarchy: where a process with one thread moves itself by writing 0. That is "tasks"
  // in version 1: "cgroup.procs" would make every fork of the machine wait for milliseconds
  // (cgroup_threadgroup_rwsem). `container`: its own cgroups, where it has them.
  Result<std::vector<CgroupFile>> OpenProcesses(const std::string& container) const;
  // Waits up to 2 s for the last process to be gone, for exits take the kernel a moment; EIO when
  // it is not. What is gone already is fine. Those of containers go as well.
  Status Remove() const;
  CgroupEvents ReadEvents() const;
  // Containers can have a cpuset: the node has the controller, and the pod was given it.
  bool HasCpuset() const;

  // The container's own, if it has to have one.
  Status CreateFor(const std::string& container,
                   const runtime::v1::LinuxContainerResources& resources) const;
  // ENOENT: it has none, or not where one of the limits belongs.
  Status LimitFor(const std::string& container,
                  const runtime::v1::LinuxContainerResources& resources) const;
  Status RemoveFor(const std::string& container) const;
  // Nothing in it: the container has none.
  CgroupEvents ReadEventsOf(const std::string& container) const;

 private:
  Status Make(const Hierarchy& hierarchy) const;
  Status LimitIn(const Hierarchy& hierarchy,
                 const runtime::v1::LinuxContainerResources& resources) const;
  // The cgroup above, relative to each hierarchy's mount.
  std::string Parent() const { return path_.substr(0, path_.rfind('/')); }
  std::string Directory(const Hierarchy& hierarchy) const { return hierarchy.mount + path_; }
  std::string DirectoryOf(const std::string& container, const Hierarchy& hierarchy) const {
    return Directory(hierarchy) + "/usetl-" + container.substr(0, 16);
  }
  // Containers may have directories there.
  bool HoldsContainers(const Hierarchy& hierarchy) const {
    return LimitsProcessor(hierarchy) || hierarchy.controllers.contains("cpuset");
  }
  // A container with these limits has one.
  bool HasToHold(const Hierarchy& hierarchy,
                 const runtime::v1::LinuxContainerResources& wanted) const;
  bool LimitsProcessor(const Hierarchy& hierarchy) const {
    return hierarchies_.unified || hierarchy.controllers.contains("cpu");
  }

  Hierarchies hierarchies_;
  std::string path_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CGROUP_POD_CGROUP_H_
