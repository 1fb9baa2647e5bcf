#include "cri/server/lifecycle.h"

namespace usetl::cri {

Status AttachNetwork(Node* node, SandboxRecord* record) {
  const Result<std::string> path = node->namespaces.Create(record->id());
  if (!path.ok()) return path.status();
  return record->network_config().empty() ? Status() : node->cni.Add(record);
}

Status DetachNetwork(Node* node, SandboxRecord* record) {
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
