// cgroups.h: how a USF comes into the cgroups of its pod.
#ifndef USETL_VMM_VMMD_CGROUPS_H_
#define USETL_VMM_VMMD_CGROUPS_H_

#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/pool/usf_handle.h"

namespace usetl {

// `files`: "tasks" (version 2: "cgroup.procs") of cgroups, as whoever runs pods opened them. Nobody
// who could be taken over gets these, for what root has opened moves any process of the node.
//
// Version 1: the USF's process enters by itself, soon, which takes microseconds, by descriptors
// that move processes of its own user only (the kernel asks who opened them: cgroup-v1.c). Version
// 2 has no such descriptors, and this waits until the process is moved.
Status EnterCgroups(UsfHandle* usf, const std::vector<Fd>& files);

}  // namespace usetl

#endif  // USETL_VMM_VMMD_CGROUPS_H_
