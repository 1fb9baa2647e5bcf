// contents.h: what a pod puts into a container.
//
// Files that the kubelet keeps (ConfigMaps, Secrets, tokens, /etc/hosts) are copied for its USF at
// the start. Symbolic links stay links, so that a ConfigMap looks as in any other container. Other
// directories are opened for its worker, and so are files that the container may change.
#ifndef USETL_CRI_CONTAINER_CONTENTS_H_
#define USETL_CRI_CONTAINER_CONTENTS_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cri/container/identity.h"
#include "cri/container/image_volume.h"
#include "cri/container/pod_files.h"
#include "records.pb.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

struct Contents {
  Fd file;  // all bytes, one behind the other; none when there are none
  // As the protocol of workers has them (vmm/proxy/pod/protocol.h).
  nlohmann::json files = nlohmann::json::array();
  nlohmann::json directories = nlohmann::json::array();
  nlohmann::json links = nlohmann::json::array();
  // Mounts with numbers: directories as detached mounts, 0 and up, then files open for writing.
  std::vector<Fd> mounted_directories, writable_files;
};

// The mounts that lead somewhere, each before those within it. Of two on one path the later one
// hides the earlier, as mounts do anywhere.
std::vector<const ::runtime::v1::Mount*> MountsThatShow(
    const ::runtime::v1::ContainerConfig& config);

// `pod_files`: beside the mounts; left out where a mount lies over them. `identity`: who writes to
// mounts. `volumes`: the images that are mounted. E2BIG above 32 MB, kMountEntries files or
// kMaxMounts mounts with numbers.
Result<Contents> CollectContents(const ContainerRecord& container,
                                 const std::vector<PodFile>& pod_files, const Identity& identity,
                                 const VolumeImages& volumes);

// The same of one read-only mount among those of a container.
Result<Contents> CollectMount(const ::runtime::v1::ContainerConfig& config,
                              const ::runtime::v1::Mount& mount);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_CONTENTS_H_
