// volumes.h: the directories and files of a pod's volumes, before and after it runs.
#ifndef USETL_CRI_CLIENT_VOLUMES_H_
#define USETL_CRI_CLIENT_VOLUMES_H_

#include "cri/client/manifest.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Makes emptyDirs, which any user of a container may write; checks hostPaths, or makes them when
// their type says so.
Status PrepareVolumes(const PodManifest& manifest);

// Removes emptyDirs with what is in them. What cannot be removed stays.
void RemoveVolumes(const PodManifest& manifest);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_VOLUMES_H_
