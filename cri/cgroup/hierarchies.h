// hierarchies.h: where the host's cgroups are mounted.
#ifndef USETL_CRI_CGROUP_HIERARCHIES_H_
#define USETL_CRI_CGROUP_HIERARCHIES_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::cri {

struct Hierarchy {
  std::string mount;                  // path
  std::set<std::string> controllers;  // v1: those that live here; v2: empty, directories say it
};

// Those that pods are put into: version 1's with cpu, cpuacct, cpuset, memory or pids; where there
// is none of them, version 2's. Empty: no cgroups.
struct Hierarchies {
  bool unified = false;  // version 2
  std::vector<Hierarchy> all;
};

// Of the text of /proc/self/mountinfo.
Hierarchies ParseHierarchies(std::string_view mountinfo);
// As they are mounted now. The file is read again only when one of the mounts is not what it was,
// for it has a line for each pod's network namespace: one that is mounted later is not seen.
// Thread-safe.
Result<Hierarchies> ReadHierarchies();

// Where below each hierarchy's mount the parent is that kubelet names: an absolute path, or a slice
// of systemd ("a-b.slice" is /a.slice/a-b.slice, whatever comes before it). EINVAL: neither.
Result<std::string> ExpandCgroupParent(std::string_view parent);

}  // namespace usetl::cri

#endif  // USETL_CRI_CGROUP_HIERARCHIES_H_
