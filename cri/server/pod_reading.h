// pod_reading.h: what the kernel says of pods rather than of their processes.
#ifndef USETL_CRI_SERVER_POD_READING_H_
#define USETL_CRI_SERVER_POD_READING_H_

#include <memory>
#include <optional>
#include <vector>

#include "cri/cgroup/pod_cgroup.h"
#include "cri/network/interfaces.h"
#include "records.pb.h"

namespace usetl::cri {

struct PodReading {
  Interfaces interfaces;  // empty: the pod has no network any more
  CgroupEvents events;    // nothing in it: it has no cgroup
  std::optional<PodCgroup> cgroup;
};

// In the order of `pods`; one thread and one look at the mounts for all of them.
std::vector<PodReading> ReadPods(const std::vector<std::shared_ptr<const SandboxRecord>>& pods);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_POD_READING_H_
