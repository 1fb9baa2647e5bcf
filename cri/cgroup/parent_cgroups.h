// parent_cgroups.h: cgroup_parents that are not there yet.
//
// kubelet makes a pod's parent before the pod and removes it afterwards. Other clients name one and
// leave it to the runtime, as runc has it: it is made then, and goes with its last pod.
#ifndef USETL_CRI_CGROUP_PARENT_CGROUPS_H_
#define USETL_CRI_CGROUP_PARENT_CGROUPS_H_

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cri/cgroup/hierarchies.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Knows which directories pods hold: those that were missing when a pod was planned, for they are
// this runtime's to remove. Thread-safe.
class ParentCgroups {
 public:
  enum class Whose {
    kClients,  // what is there is not ours to remove
    kOurs,     // also what is there, for another usetld, or one that was killed, may have made it
  };

  // Of `parent` (relative to each hierarchy's mount): the directories, in all hierarchies, that the
  // pod below it holds from now on, outer ones first. Nothing is made, so that they can be stored
  // before they are. Empty as a rule for a client's. EINVAL: a part of the path is no directory.
  Result<std::vector<std::string>> Hold(const Hierarchies& hierarchies, const std::string& parent,
                                        Whose whose, const std::string& pod);
  // The same for a pod of an earlier usetld.
  void HoldAgain(const std::vector<std::string>& directories, const std::string& pod);
  // Makes those that are missing, and lets them hand on what pods need: cpusets of version 1,
  // controllers of version 2. EIO.
  static Status Make(const Hierarchies& hierarchies, const std::vector<std::string>& directories);
  // The pod is done with them. Removes those that no pod holds, but for those that others have put
  // something into. EIO. May be called again.
  Status Drop(const std::vector<std::string>& directories, const std::string& pod);

 private:
  std::mutex mutex_;
  std::map<std::string, std::set<std::string>> held_;  // by which pods
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CGROUP_PARENT_CGROUPS_H_
