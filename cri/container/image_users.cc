#include "cri/container/image_users.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>

#include "vmm/pack/pack_reader.h"

namespace usetl::cri {
namespace {

constexpr size_t kMaxFile = 1 << 20;

bool HidesLower(const abi::PackEntry* entry) {
  return entry != nullptr && entry->type != abi::PackType::kDirectory;
}

// A file of the image's /etc; empty when there is none.
Result<std::string> ReadEtc(const std::vector<std::string>& packs, const std::string& name) {
  for (auto path = packs.rbegin(); path != packs.rend(); ++path) {
    const Result<pack::Pack> pack = pack::OpenPack(*path, /*with_digest=*/false);
    if (!pack.ok()) return pack.status();
    const abi::PackEntry* const file = pack->Find("etc/" + name);
    if (file != nullptr && file->type == abi::PackType::kRegular) {
      const std::span<const uint8_t> content = pack->Content(*file);
      if (content.size() > kMaxFile) {
        return Status(EINVAL, "usetl: the image's /etc/" + name + " is larger than 1 MB");
      }
      return std::string(content.begin(), content.end());
    }
    if (file != nullptr || HidesLower(pack->Find("etc"))) break;
  }
  return std::string();
}

// The fields of each line; until `use` says that it has found what it looked for.
void ForEachLine(std::string_view text,
                 const std::function<bool(const std::vector<std::string_view>&)>& use) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    std::vector<std::string_view> fields;
    for (;;) {
      const size_t colon = line.find(':');
      fields.push_back(line.substr(0, colon));
      if (colon == line.npos) break;
      line.remove_prefix(colon + 1);
    }
    if (use(fields)) return;
  }
}

bool Lists(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    const std::string_view member = members.substr(0, members.find(','));
    if (member == name) return true;
    members.remove_prefix(std::min(members.size(), member.size() + 1));
  }
  return false;
}

}  // namespace

bool ParseId(std::string_view text, uint32_t* id) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *id);
  return error == std::errc() && end == text.data() + text.size() &&
         *id != std::numeric_limits<uint32_t>::max();
}

Result<ImageUser> FindImageUser(const std::vector<std::string>& packs, const std::string& name) {
  const Result<std::string> users = ReadEtc(packs, "passwd");
  if (!users.ok()) return users.status();
  ImageUser user;
  bool found = false;
  ForEachLine(*users, [&](const std::vector<std::string_view>& fields) {
    found = fields.size() >= 4 && fields[0] == name && ParseId(fields[2], &user.uid) &&
            ParseId(fields[3], &user.gid);
    return found;
  });
  if (!found) {
    return Status(EINVAL, "usetl: the image's /etc/passwd has no user \"" + name +
                              "\": use a number, or runAsUser");
  }
  const Result<std::string> groups = ReadEtc(packs, "group");
  if (!groups.ok()) return groups.status();
  ForEachLine(*groups, [&](const std::vector<std::string_view>& fields) {
    uint32_t gid;
    if (fields.size() >= 4 && Lists(fields[3], name) && ParseId(fields[2], &gid)) {
      user.groups.push_back(gid);
    }
    return false;
  });
  return user;
}

Result<uint32_t> FindImageGroup(const std::vector<std::string>& packs, const std::string& name) {
  const Result<std::string> groups = ReadEtc(packs, "group");
  if (!groups.ok()) return groups.status();
  uint32_t gid = 0;
  bool found = false;
  ForEachLine(*groups, [&](const std::vector<std::string_view>& fields) {
    found = fields.size() >= 3 && fields[0] == name && ParseId(fields[2], &gid);
    return found;
  });
  if (found) return gid;
  return Status(EINVAL, "usetl: the image's /etc/group has no group \"" + name +
                            "\": use a number, or runAsGroup");
}

}  // namespace usetl::cri
