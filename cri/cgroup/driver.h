// driver.h: which of the two conventions kubelet is to name cgroups by.
#ifndef USETL_CRI_CGROUP_DRIVER_H_
#define USETL_CRI_CGROUP_DRIVER_H_

#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl::cri {

// Both forms of a cgroup_parent are understood at any time. This is what kubelet is told, and how
// the parent of pods without one is called.
enum class CgroupDriver { kCgroupfs, kSystemd };

// "cgroupfs", "systemd", or "auto": systemd where that runs the machine. Not the default: kubelet
// then has systemd make its slices, below which usetld makes plain directories, behind systemd's
// back where the slices are not delegated. `systemd`: the directory that is there where it runs.
// EINVAL for other words.
Result<CgroupDriver> ChooseCgroupDriver(std::string_view word,
                                        const std::string& systemd = "/run/systemd/system");

// Of pods that have limits and no cgroup_parent.
const char* DefaultCgroupParent(CgroupDriver driver);

}  // namespace usetl::cri

#endif  // USETL_CRI_CGROUP_DRIVER_H_
