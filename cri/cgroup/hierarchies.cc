#include "cri/cgroup/hierarchies.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <mutex>
#include <sstream>

#include "vmm/base/mounts.h"

namespace usetl::cri {
namespace {

constexpr std::array<std::string_view, 5> kControllers = {"cpu", "cpuacct", "cpuset", "memory",
                                                          "pids"};
constexpr std::string_view kSlice = ".slice";
constexpr size_t kMaxPath = 2048;
constexpr size_t kMaxComponent = 255;

Result<std::string> ExpandSlice(std::string_view name) {
  const auto bad = [&] {
    return Status(EINVAL, "usetl: cgroup_parent: \"" + std::string(name) + "\" is no slice");
  };
  std::string_view stem = name.substr(0, name.size() - kSlice.size());
  if (stem == "-") return std::string("/");  // the root of all slices
  std::string path, prefix;
  for (const std::string_view part : Split(stem, '-')) {
    if (part.empty()) return bad();
    prefix += (prefix.empty() ? "" : "-") + std::string(part);
    path += "/" + prefix + std::string(kSlice);
    if (path.size() > kMaxPath) return bad();
  }
  return path;
}

// Of a mount that is gone: 0, which no mount has.
std::vector<dev_t> DevicesOf(const Hierarchies& hierarchies) {
  std::vector<dev_t> devices;
  for (const Hierarchy& hierarchy : hierarchies.all) {
    struct stat info;
    devices.push_back(stat(hierarchy.mount.c_str(), &info) == 0 ? info.st_dev : 0);
  }
  return devices;
}

}  // namespace

Hierarchies ParseHierarchies(std::string_view mountinfo) {
  Hierarchies first, second;
  second.unified = true;
  std::set<std::string> taken;
  for (const MountEntry& mount : ParseMounts(mountinfo)) {
    if (mount.type == "cgroup2" && second.all.empty()) second.all.push_back({mount.path, {}});
    if (mount.type != "cgroup") continue;
    Hierarchy hierarchy{mount.path, {}};
    for (const std::string_view option : Split(mount.options, ',')) {
      for (const std::string_view controller : kControllers) {
        // The same hierarchy may be mounted twice.
        if (option == controller && taken.emplace(controller).second) {
          hierarchy.controllers.emplace(controller);
        }
      }
    }
    if (!hierarchy.controllers.empty()) first.all.push_back(std::move(hierarchy));
  }
  return first.all.empty() ? second : first;
}

Result<Hierarchies> ReadHierarchies() {
  static std::mutex mutex;
  static Hierarchies known;
  static std::vector<dev_t> devices;  // of their mounts, in their order
  const std::lock_guard lock(mutex);
  if (!devices.empty() && DevicesOf(known) == devices) return known;
  std::ifstream file("/proc/self/mountinfo");
  std::stringstream text;
  text << file.rdbuf();
  if (!file || !text) return Status(EIO, "/proc/self/mountinfo cannot be read");
  known = ParseHierarchies(text.str());
  devices = DevicesOf(known);
  if (std::ranges::find(devices, 0u) != devices.end()) devices.clear();  // one has just gone
  return known;
}

Result<std::string> ExpandCgroupParent(std::string_view parent) {
  const auto bad = [](const char* why) {
    return Status(EINVAL, std::string("usetl: cgroup_parent ") + why);
  };
  if (parent.empty() || parent.size() > kMaxPath) return bad("is empty or too long");
  if (parent.find('\0') != std::string_view::npos) return bad("holds a NUL");
  while (parent.size() > 1 && parent.back() == '/') parent.remove_suffix(1);
  const std::string_view last = parent.substr(parent.rfind('/') + 1);
  const bool is_slice = last.size() > kSlice.size() && last.ends_with(kSlice);
  if (parent[0] != '/' && !(is_slice && last == parent))
    return bad("is neither absolute nor a slice");
  if (parent == "/") return std::string("/");
  for (const std::string_view part : Split(parent.substr(parent[0] == '/'), '/')) {
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxComponent) {
      return bad("has a component that is no name");
    }
  }
  if (is_slice) return ExpandSlice(last);
  return std::string(parent);
}

}  // namespace usetl::cri
