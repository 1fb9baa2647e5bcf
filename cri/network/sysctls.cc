#include "cri/network/sysctls.h"

#include <fcntl.h>

#include <cstring>

#include "cri/network/namespaces.h"

namespace usetl::cri {
namespace {

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

Status SetSysctl(const std::string& name, const std::string& value) {
  const auto refused = [&](const char* what) {
    return Status(EINVAL, std::string(what) + " the sysctl " + name + ": " + std::strerror(errno));
  };
  const std::optional<std::string> path = NetworkSysctlFile(name);
  if (!path.has_value()) return Status(EINVAL, "the sysctl " + name + " is none of the network");
  const Fd file(open(("/proc/sys/" + *path).c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.ok()) return refused("opening");
  if (write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size())) {
    return Status();
  }
  return refused("setting");
}

}  // namespace

std::optional<std::string> NetworkSysctlFile(std::string_view name) {
  const size_t first = name.find_first_of("./");
  if (first == name.npos || name.substr(0, first) != "net" || name.size() > 256)
    return std::nullopt;
  // The first separator is that of the whole name; the other character belongs to an interface.
  const char separator = name[first];
  std::string path;
  for (const char c : name) {
    if (c == separator) {
      path += '/';
    } else if (c == '.' || c == '/') {
      path += '.';
    } else if (IsPlain(c)) {
      path += c;
    } else {
      return std::nullopt;
    }
  }
  // No part is empty or leads upwards.
  const std::string closed = path + "/";
  for (const char* const part : {"//", "/./", "/../"}) {
    if (closed.find(part) != closed.npos) return std::nullopt;
  }
  return path;
}

Status SetSysctls(const Fd& network_namespace, const std::map<std::string, std::string>& sysctls) {
  return Namespaces::Within(network_namespace, [&] {
    for (const auto& [name, value] : sysctls) {
      USETL_RETURN_IF_ERROR(SetSysctl(name, value));
    }
    return Status();
  });
}

}  // namespace usetl::cri
