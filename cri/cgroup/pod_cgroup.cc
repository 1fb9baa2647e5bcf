#include "cri/cgroup/pod_cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "cri/cgroup/cgroup_files.h"

namespace usetl::cri {
namespace {

constexpr std::chrono::milliseconds kPoll{20};
constexpr std::chrono::seconds kPatience{2};

Status Failed(const std::string& what) { return Status(EIO, Status::Errno(what).message()); }

// Lets children of a directory of version 2 have those controllers that it has itself.
Status PassControllersOn(const std::string& directory) {
  const Result<std::string> available = ReadCgroupFile(directory + "/cgroup.controllers");
  if (!available.ok()) return available.status();
  const std::string words = " " + available->substr(0, available->find('\n')) + " ";
  for (const char* controller : {"cpu", "cpuset", "memory", "pids"}) {
    if (words.find(std::string(" ") + controller + " ") == std::string::npos) continue;
    USETL_RETURN_IF_ERROR(
        WriteCgroupFile(directory + "/cgroup.subtree_control", std::string("+") + controller));
  }
  return Status();
}

}  // namespace

Result<std::string> PodCgroup::PathFor(const std::string& parent, const std::string& id) {
  const Result<std::string> expanded = ExpandCgroupParent(parent);
  if (!expanded.ok()) return expanded.status();
  return (*expanded == "/" ? "" : *expanded) + "/usetl-" + id.substr(0, 16);
}

Status PodCgroup::Create(const runtime::v1::LinuxContainerResources& resources) const {
  if (hierarchies_.all.empty()) {
    return Status(EIO, "cgroup_parent is given, but no cgroup hierarchy is mounted");
  }
  const std::string above = path_.substr(0, path_.rfind('/'));
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    USETL_RETURN_IF_ERROR(Make(hierarchy, hierarchy.mount + above, resources));
  }
  return Status();
}

Status PodCgroup::Make(const Hierarchy& hierarchy, const std::string& parent,
                       const runtime::v1::LinuxContainerResources& resources) const {
  const std::string directory = Directory(hierarchy);
  if (hierarchies_.unified) USETL_RETURN_IF_ERROR(PassControllersOn(parent));
  // One that is there is of a usetld that was killed: ids are never used twice.
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return Failed("create the pod's cgroup " + directory);
  }
  if (hierarchies_.unified) return WriteUnifiedLimits(directory, resources);
  for (const std::string& controller : hierarchy.controllers) {
    USETL_RETURN_IF_ERROR(WriteLimits(directory, parent, controller, resources));
  }
  return Status();
}

Result<std::vector<Fd>> PodCgroup::OpenProcesses() const {
  std::vector<Fd> opened;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    const std::string path =
        Directory(hierarchy) + (hierarchies_.unified ? "/cgroup.procs" : "/tasks");
    Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.ok()) return Failed("open " + path);
    opened.push_back(std::move(file));
  }
  return opened;
}

Status PodCgroup::Remove() const {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  Status first;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    const std::string directory = Directory(hierarchy);
    while (rmdir(directory.c_str()) != 0 && errno != ENOENT) {
      if (errno == EBUSY && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(kPoll);
        continue;
      }
      if (first.ok()) first = Failed("remove the pod's cgroup " + directory);
      break;
    }
  }
  return first;
}

Result<CgroupUsage> PodCgroup::ReadUsage() const {
  CgroupUsage usage;
  Status first;
  const auto read = [&](const std::string& path, std::string_view key) -> uint64_t {
    const Result<uint64_t> number = ReadCgroupNumber(path, key);
    if (number.ok()) return *number;
    if (first.ok()) first = number.status();
    return 0;
  };
  uint64_t inactive = 0;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    const std::string directory = Directory(hierarchy);
    if (hierarchies_.unified) {
      usage.cpu_ns = read(directory + "/cpu.stat", "usage_usec") * 1000;
      usage.memory_bytes = read(directory + "/memory.current", "");
      inactive = read(directory + "/memory.stat", "inactive_file");
    }
    if (hierarchy.controllers.contains("cpuacct")) {
      usage.cpu_ns = read(directory + "/cpuacct.usage", "");
    }
    if (hierarchy.controllers.contains("memory")) {
      usage.memory_bytes = read(directory + "/memory.usage_in_bytes", "");
      inactive = read(directory + "/memory.stat", "total_inactive_file");
    }
  }
  if (!first.ok()) return first;
  usage.working_set_bytes = usage.memory_bytes - std::min(inactive, usage.memory_bytes);
  return usage;
}

}  // namespace usetl::cri
