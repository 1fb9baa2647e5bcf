// find_node.h: whether there is a node to run pods on.
#ifndef USETL_CRI_CLIENT_FIND_NODE_H_
#define USETL_CRI_CLIENT_FIND_NODE_H_

#include <string>

#include "vmm/base/status.h"

namespace usetl::cri {

// An error says how to start a node that serves the CRI at `socket`.
Status FindNode(const std::string& socket);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_FIND_NODE_H_
