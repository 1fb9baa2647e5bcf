#include "cri/container/identity.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <limits>

#include "cri/container/image_users.h"

namespace usetl::cri {
namespace {

Result<uint32_t> CheckId(int64_t id) {
  // The last one means "unchanged" to the kernel.
  if (id >= 0 && id < std::numeric_limits<uint32_t>::max()) return static_cast<uint32_t>(id);
  return Status(EINVAL, "usetl: " + std::to_string(id) + " is no id of a user or group");
}

// "USER" or "USER:GROUP", each a number or a name.
Status ReadUser(const std::string& user, const std::vector<std::string>& packs,
                Identity* identity) {
  if (user.empty() || user == "root") return Status();
  const size_t colon = user.find(':');
  const std::string name = user.substr(0, colon);
  if (!ParseId(name, &identity->uid)) {
    Result<ImageUser> found = FindImageUser(packs, name);
    if (!found.ok()) return found.status();
    identity->uid = found->uid;
    identity->gid = found->gid;
    identity->groups = std::move(found->groups);
  }
  if (colon == user.npos) return Status();
  const std::string group = user.substr(colon + 1);
  if (ParseId(group, &identity->gid)) return Status();
  const Result<uint32_t> found = FindImageGroup(packs, group);
  if (!found.ok()) return found.status();
  identity->gid = *found;
  return Status();
}

// Names with or without "CAP_", in any case, as other runtimes take them.
uint32_t Without(const std::string& dropped, uint32_t capabilities) {
  std::string name(dropped);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  if (name.starts_with("CAP_")) name.erase(0, 4);
  if (name == "ALL") return 0;
  if (name == "DAC_OVERRIDE") return capabilities & ~pod::kOverrideCapability;
  return name == "FOWNER" ? capabilities & ~pod::kOwnerCapability : capabilities;
}

bool WritesToHost(const ContainerRecord& container) {
  const auto& mounts = container.config().mounts();
  return std::ranges::any_of(mounts, [](const auto& mount) { return !mount.readonly(); });
}

}  // namespace

bool Identity::MayWrite(const struct stat& info) const {
  if (uid == 0 && (capabilities & pod::kOverrideCapability) != 0) return true;
  if (uid == info.st_uid) return (info.st_mode & S_IWUSR) != 0;
  if (gid == info.st_gid || std::ranges::find(groups, info.st_gid) != groups.end()) {
    return (info.st_mode & S_IWGRP) != 0;
  }
  return (info.st_mode & S_IWOTH) != 0;
}

Result<Identity> IdentityOf(const ContainerRecord& container, const image::Image& image) {
  const auto& context = container.config().linux().security_context();
  Identity identity;
  if (context.has_run_as_user()) {
    Result<uint32_t> uid = CheckId(context.run_as_user().value());
    if (!uid.ok()) return uid.status();
    identity.uid = *uid;
  } else if (WritesToHost(container)) {
    const std::string& name = context.run_as_username();
    USETL_RETURN_IF_ERROR(
        ReadUser(name.empty() ? image.config.user : name, image.packs, &identity));
  }
  if (context.has_run_as_group()) {
    Result<uint32_t> gid = CheckId(context.run_as_group().value());
    if (!gid.ok()) return gid.status();
    identity.gid = *gid;
  }
  for (const std::string& name : context.capabilities().drop_capabilities()) {
    identity.capabilities = Without(name, identity.capabilities);
  }
  constexpr size_t kMostGroups = std::size(pod::JoinRecord{}.group);
  for (const int64_t group : context.supplemental_groups()) {
    Result<uint32_t> gid = CheckId(group);
    if (!gid.ok()) return gid.status();
    identity.groups.push_back(*gid);
  }
  if (identity.groups.size() > kMostGroups) {
    return Status(EINVAL, "usetl: more than " + std::to_string(kMostGroups) + " groups");
  }
  return identity;
}

}  // namespace usetl::cri
