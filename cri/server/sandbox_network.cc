#include "cri/network/sysctls.h"
#include "cri/server/lifecycle.h"

namespace usetl::cri {

Status AttachNetwork(Node* node, SandboxRecord* record) {
  const Result<std::string> path = node->namespaces.Create(record->id());
  if (!path.ok()) return path.status();
  if (!record->network_config().empty()) USETL_RETURN_IF_ERROR(node->cni.Add(record));
  const auto& sysctls = record->config().linux().sysctls();
  if (sysctls.empty()) return Status();
  // Some belong to the interfaces that plugins made.
  const Result<Fd> network = Namespaces::Open(*path);
  if (!network.ok()) return network.status();
  return SetSysctls(*network, {sysctls.begin(), sysctls.end()});
}

Status DetachNetwork(Node* node, SandboxRecord* record) {
  node->network_check.Leave(record->id());
  // Plugins want the namespace, so it goes last.
  USETL_RETURN_IF_ERROR(node->cni.Delete(record));
  if (!record->network_namespace().empty()) {
    USETL_RETURN_IF_ERROR(Namespaces::Remove(record->network_namespace()));
  }
  record->clear_network_namespace();
  record->clear_addresses();
  return Status();
}

}  // namespace usetl::cri
