#include "cri/container/identity.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>

#include "vmm/proxy/pod/protocol.h"

namespace usetl::cri {
namespace {

std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  // The last one means "unchanged" to the kernel.
  if (id == std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return id;
}

Result<uint32_t> CheckId(int64_t id) {
  // The last one means "unchanged" to the kernel.
  if (id >= 0 && id < std::numeric_limits<uint32_t>::max()) return static_cast<uint32_t>(id);
  return Status(EINVAL, "usetl: " + std::to_string(id) + " is no id of a user or group");
}

Status ReadUser(const std::string& user, Identity* identity) {
  if (user.empty() || user == "root") return Status();
  const size_t colon = user.find(':');
  const std::optional<uint32_t> uid = ParseId(std::string_view(user).substr(0, colon));
  const std::optional<uint32_t> gid =
      colon == user.npos ? 0 : ParseId(std::string_view(user).substr(colon + 1));
  if (!uid || !gid) {
    return Status(EINVAL,
                  "usetl: the user \"" + user +
                      "\" is no pair of ids: use numbers, or runAsUser, for writable mounts");
  }
  identity->uid = *uid;
  identity->gid = *gid;
  return Status();
}

bool WritesToHost(const ContainerRecord& container) {
  const auto& mounts = container.config().mounts();
  return std::ranges::any_of(mounts, [](const auto& mount) { return !mount.readonly(); });
}

}  // namespace

bool Identity::MayWrite(const struct stat& info) const {
  if (uid == 0) return true;
  if (uid == info.st_uid) return (info.st_mode & S_IWUSR) != 0;
  if (gid == info.st_gid || std::ranges::find(groups, info.st_gid) != groups.end()) {
    return (info.st_mode & S_IWGRP) != 0;
  }
  return (info.st_mode & S_IWOTH) != 0;
}

Result<Identity> IdentityOf(const ContainerRecord& container, const std::string& image_user) {
  const auto& context = container.config().linux().security_context();
  Identity identity;
  if (context.has_run_as_user()) {
    Result<uint32_t> uid = CheckId(context.run_as_user().value());
    if (!uid.ok()) return uid.status();
    identity.uid = *uid;
  } else if (WritesToHost(container)) {
    const std::string& name = context.run_as_username();
    USETL_RETURN_IF_ERROR(ReadUser(name.empty() ? image_user : name, &identity));
  }
  if (context.has_run_as_group()) {
    Result<uint32_t> gid = CheckId(context.run_as_group().value());
    if (!gid.ok()) return gid.status();
    identity.gid = *gid;
  }
  constexpr size_t kMostGroups = std::size(pod::JoinRecord{}.group);
  if (context.supplemental_groups_size() > static_cast<int>(kMostGroups)) {
    return Status(EINVAL, "usetl: more than " + std::to_string(kMostGroups) + " groups");
  }
  for (const int64_t group : context.supplemental_groups()) {
    Result<uint32_t> gid = CheckId(group);
    if (!gid.ok()) return gid.status();
    identity.groups.push_back(*gid);
  }
  return identity;
}

}  // namespace usetl::cri
