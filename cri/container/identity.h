// identity.h: the user that a container is on the host: whoever writes to its mounts.
#ifndef USETL_CRI_CONTAINER_IDENTITY_H_
#define USETL_CRI_CONTAINER_IDENTITY_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cri/image/image_catalog.h"
#include "records.pb.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/protocol.h"

namespace usetl::cri {

struct Identity {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;  // supplementary ones, among them the pod's fsGroup
  uint32_t capabilities = pod::kFileCapabilities;  // that the pod has not dropped; of root

  // Whether the mode of a file lets it be written.
  bool MayWrite(const struct stat& info) const;
};

// The pod's runAsUser, else the image's user (none: root), which counts only where there is a
// writable mount. EINVAL: it is a name then that the image does not explain; or there are more
// groups than 32.
Result<Identity> IdentityOf(const ContainerRecord& container, const image::Image& image);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_IDENTITY_H_
