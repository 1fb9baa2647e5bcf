// lifecycle.h: steps that several verbs take.
#ifndef USETL_CRI_SERVER_LIFECYCLE_H_
#define USETL_CRI_SERVER_LIFECYCLE_H_

#include <chrono>

#include "cri/cgroup/pod_cgroup.h"
#include "cri/server/node.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

// Files of a container's worker, below options.state.
std::string ControlSocket(const Node& node, const std::string& container);
std::string ExitFile(const Node& node, const std::string& container);
// For appending; makes it and its directories.
Result<Fd> OpenLog(const std::string& path);

// Fills the record with what the pod is going to hold: paths of its network namespace and cgroup,
// configuration of its network. Stored before any of it is made, so that none of it can be lost; if
// it cannot be, UnplanPod() is to be called.
Status PlanPod(Node* node, SandboxRecord* record);
void UnplanPod(Node* node, const SandboxRecord& record);
// Network namespace and addresses, as planned. Detach undoes whatever the record says there is,
// made or not, and may be repeated; after an error the record says what is left.
Status AttachNetwork(Node* node, SandboxRecord* record);
Status DetachNetwork(Node* node, SandboxRecord* record);
// What only a cgroup limits. The memory of functions is usetl-vmmd's business.
bool LimitsProcessor(const v1::LinuxContainerResources& limits);
// Of a pod: its workers' memory counts too.
bool WantsCgroup(const v1::LinuxContainerResources& limits);
// The pod's cgroup; likewise. It is below its cgroup_parent. A pod without one has none, unless it
// is to be limited: then it is below a parent of ours, which may be there. EINVAL for a bad parent.
Status PlanCgroup(Node* node, SandboxRecord* record);
// Of those above, what is missing.
Status CreateParentCgroups(const SandboxRecord& record);
Status CreateCgroup(const SandboxRecord& record);
// One behind the other. What is there is made what it should be.
Status MakeCgroup(const SandboxRecord& record);
// Plans, stores and makes one for a pod that has none. It still has none afterwards where none can
// be made. REQUIRES: the pod's `verb` is held.
Status GiveCgroup(Node* node, Sandbox& pod);
// For a pod whose cgroup could not be made: without a cgroup_parent it goes on without, which is
// logged once. Else, when its limits were refused, or something is left of it: `why`.
Status DoWithoutCgroup(Node* node, SandboxRecord* record, const Status& why);
// Gives it the limits that the record has by now.
Status LimitCgroup(const SandboxRecord& record);
Status RemoveCgroup(Node* node, SandboxRecord* record);
// Where a container that starts enters the pod's cgroup, or its own below that, which is made if it
// has to have one; none without one.
Result<std::vector<CgroupFile>> OpenCgroup(const SandboxRecord& pod,
                                           const ContainerRecord& container);
// EINVAL: limits of a container that no cgroup of the pod can hold. `changed`: of one that is
// there, for which none is made any more.
Status CheckContainerLimits(const SandboxRecord& pod, const v1::LinuxContainerResources& wanted,
                            bool changed);
// The container's own. ENOENT: it has none, or none that holds what is wanted.
Status LimitContainerCgroup(const SandboxRecord& pod, const ContainerRecord& container);
Status RemoveContainerCgroup(const SandboxRecord& pod, const std::string& container);
// Makes what was planned: the cgroup beside the network, where plugins attach that. After an error
// ReleasePod() is to be called.
Status EquipPod(Node* node, SandboxRecord* record);
// Gives both back. For a pod of which nothing runs any more.
Status ReleasePod(Node* node, SandboxRecord* record);

// Ends the pod's containers and its network; the pod stays listed. Idempotent.
Status StopSandbox(Node* node, Sandbox& sandbox);

// Returns when the container has ended. After `grace` (0: at once) it is killed. Idempotent.
Status StopContainerOf(Node* node, Container& container, std::chrono::milliseconds grace);
// Kills it, if it runs, and forgets it. Idempotent.
Status RemoveContainerOf(Node* node, Container& container);

// The container does not use its image any more: of one that was removed before, the rest goes.
void DropImage(Node* node, const std::string& container, const std::string& image);

// Stores how a container ended. Called by the monitor, and at the start for those that ended while
// no usetld was there.
void OnContainerExit(Node* node, const std::string& id, std::optional<ContainerExit> exit);

// Gives the worker a page for what it counts, when metrics are served. A container goes on without.
void StartCounting(Node* node, const std::string& container, Worker* worker);

void PublishSandboxEvent(Node* node, const SandboxRecord& record, v1::ContainerEventType type);
void PublishContainerEvent(Node* node, const ContainerRecord& record, v1::ContainerEventType type);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_LIFECYCLE_H_
