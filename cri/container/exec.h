// exec.h: runs a program beside a container's function, or joins the function itself.
#ifndef USETL_CRI_CONTAINER_EXEC_H_
#define USETL_CRI_CONTAINER_EXEC_H_

#include <memory>
#include <string>

#include "cri/streaming/process.h"
#include "vmm/base/status.h"

namespace usetl::cri {

class Node;

// REQUIRES: `container_id` is a container's whole id. The Status is the cause that users see.
// Thread-safe.
Result<std::unique_ptr<Process>> LaunchProcess(Node& node, const std::string& container_id,
                                               const ProcessRequest& request);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_EXEC_H_
