// pod_files.h: what a pod's configuration says that programs read from files.
#ifndef USETL_CRI_CONTAINER_POD_FILES_H_
#define USETL_CRI_CONTAINER_POD_FILES_H_

#include <string>
#include <vector>

#include "runtime.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

struct PodFile {
  std::string path;  // absolute, in the container
  std::string text;
};

// /etc/hostname, which is also the name that uname(2) gives, and /etc/resolv.conf: those of which
// the pod says something. EINVAL: a text would break out of its line, is no name of a host or no
// address, or is more than resolvers read.
Result<std::vector<PodFile>> PodFiles(const ::runtime::v1::PodSandboxConfig& pod);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_POD_FILES_H_
