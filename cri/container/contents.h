// contents.h: what a pod mounts into a container, copied for its USF at the start.
//
// Written for files that the kubelet keeps: ConfigMaps, Secrets, tokens, /etc/hosts. Symbolic links
// stay links, so that a ConfigMap looks as in any other container.
#ifndef USETL_CRI_CONTAINER_CONTENTS_H_
#define USETL_CRI_CONTAINER_CONTENTS_H_

#include <nlohmann/json.hpp>
#include <string>

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
};

// E2BIG above 32 MB or 4,096 entries.
Result<Contents> CollectContents(const ContainerRecord& container);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_CONTENTS_H_
