// contents.h: what a pod puts into a container, copied for its USF at the start.
//
// Written for files that the kubelet keeps: ConfigMaps, Secrets, tokens, /etc/hosts. Symbolic links
// stay links, so that a ConfigMap looks as in any other container. What the container may change is
// also opened for its worker.
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
  // Writable mounts: directories as detached mounts, whose numbers are 0 and up, and files open for
  // writing, whose numbers follow.
  std::vector<Fd> writable_directories, writable_files;
};

// `pod_files`: beside the mounts; left out where a mount lies over them. `identity`: who writes to
// mounts. `volumes`: the images that are mounted. E2BIG above 32 MB, 4,096 entries or 16 writable
// mounts.
Result<Contents> CollectContents(const ContainerRecord& container,
                                 const std::vector<PodFile>& pod_files, const Identity& identity,
                                 const VolumeImages& volumes);

// The same of one read-only mount among those of a container.
Result<Contents> CollectMount(const ::runtime::v1::ContainerConfig& config,
                              const ::runtime::v1::Mount& mount);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_CONTENTS_H_
