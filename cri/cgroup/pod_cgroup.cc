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
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    USETL_RETURN_IF_ERROR(Make(hierarchy, resources));
  }
  return Status();
}

Status PodCgroup::Limit(const runtime::v1::LinuxContainerResources& resources) const {
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    USETL_RETURN_IF_ERROR(LimitIn(hierarchy, resources));
  }
  return Status();
}

Status PodCgroup::LimitIn(const Hierarchy& hierarchy,
                          const runtime::v1::LinuxContainerResources& resources) const {
  const std::string directory = Directory(hierarchy);
  if (hierarchies_.unified) return WriteUnifiedLimits(directory, resources);
  for (const std::string& controller : hierarchy.controllers) {
    USETL_RETURN_IF_ERROR(
        WriteLimits(directory, hierarchy.mount + Parent(), controller, resources));
  }
  return Status();
}

Status PodCgroup::Make(const Hierarchy& hierarchy,
                       const runtime::v1::LinuxContainerResources& resources) const {
  const std::string directory = Directory(hierarchy);
  if (hierarchies_.unified) USETL_RETURN_IF_ERROR(PassControllersOn(hierarchy.mount + Parent()));
  // One that is there is of a usetld that was killed: ids are never used twice.
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return Failed("create the pod's cgroup " + directory);
  }
  return LimitIn(hierarchy, resources);
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

CgroupEvents PodCgroup::ReadEvents() const {
  CgroupEvents events;
  const auto read = [](const std::string& path, std::string_view key) -> std::optional<uint64_t> {
    const Result<uint64_t> number = ReadCgroupNumber(path, key);
    if (!number.ok()) return std::nullopt;
    return *number;
  };
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    const std::string directory = Directory(hierarchy);
    const bool cpu = hierarchies_.unified || hierarchy.controllers.contains("cpu");
    if (cpu) {
      const std::string path = directory + "/cpu.stat";
      events.periods = read(path, "nr_periods");
      events.throttled_periods = read(path, "nr_throttled");
      const auto throttled = read(path, hierarchies_.unified ? "throttled_usec" : "throttled_time");
      if (throttled) events.throttled_ns = *throttled * (hierarchies_.unified ? 1000 : 1);
    }
    if (hierarchies_.unified) {
      events.memory_failures = read(directory + "/memory.events", "max");
      events.cpu = ReadPressure(directory + "/cpu.pressure");
      events.memory = ReadPressure(directory + "/memory.pressure");
      events.io = ReadPressure(directory + "/io.pressure");
    } else if (hierarchy.controllers.contains("memory")) {
      events.memory_failures = read(directory + "/memory.failcnt", "");
    }
  }
  return events;
}

}  // namespace usetl::cri
