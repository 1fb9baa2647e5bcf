// image_users.h: users and groups by the names that an image's own files give them.
#ifndef USETL_CRI_CONTAINER_IMAGE_USERS_H_
#define USETL_CRI_CONTAINER_IMAGE_USERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::cri {

struct ImageUser {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;  // others that list the user
};

// A number that names a user or group. None: malformed, or the one that means "unchanged" to the
// kernel.
bool ParseId(std::string_view text, uint32_t* id);

// By /etc/passwd and /etc/group of the tree that `packs` (paths, lowest first) make. EINVAL: they
// do not have the name. A file that is a link counts as missing.
Result<ImageUser> FindImageUser(const std::vector<std::string>& packs, const std::string& name);
Result<uint32_t> FindImageGroup(const std::vector<std::string>& packs, const std::string& name);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_IMAGE_USERS_H_
