#include "cri/cgroup/pod_cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "cri/cgroup/cgroup_files.h"

namespace usetl::cri {
namespace {

using Clock = std::chrono::steady_clock;
using Resources = runtime::v1::LinuxContainerResources;

// Most often a worker that has said all it had to say is about to end.
constexpr std::chrono::microseconds kFirstPoll{200}, kMostPoll{20'000};
constexpr std::chrono::seconds kPatience{2};

Status Failed(const std::string& what) { return Status(EIO, Status::Errno(what).message()); }

bool IsDirectory(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Status RemoveDirectory(const std::string& directory, Clock::time_point end) {
  for (auto pause = kFirstPoll;; pause = std::min(2 * pause, kMostPoll)) {
    const Status removed = RemoveCgroupDirectory(directory);
    if (removed.ok()) return removed;
    if (removed.code() != EBUSY || Clock::now() >= end) return Status(EIO, removed.message());
    std::this_thread::sleep_for(pause);
  }
}

// Those of containers.
Status RemoveChildren(const std::string& directory, Clock::time_point end) {
  std::error_code error;
  const std::filesystem::directory_iterator entries(directory, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) {
    return Status();
  }
  if (error) return Status(EIO, "read " + directory + ": " + error.message());
  for (auto entry = begin(entries); entry != std::filesystem::directory_iterator();) {
    const std::string path = entry->path();
    if (entry->path().filename().string().starts_with("usetl-")) {
      USETL_RETURN_IF_ERROR(RemoveDirectory(path, end));
    }
    entry.increment(error);
    if (error) return Status(EIO, "read " + directory + ": " + error.message());
  }
  return Status();
}

std::optional<uint64_t> ReadOptional(const std::string& path, std::string_view key) {
  const Result<uint64_t> number = ReadCgroupNumber(path, key);
  if (!number.ok()) return std::nullopt;
  return *number;
}

void ReadThrottling(const std::string& directory, bool unified, CgroupEvents* events) {
  const std::string path = directory + "/cpu.stat";
  events->periods = ReadOptional(path, "nr_periods");
  events->throttled_periods = ReadOptional(path, "nr_throttled");
  const auto throttled = ReadOptional(path, unified ? "throttled_usec" : "throttled_time");
  if (throttled) events->throttled_ns = *throttled * (unified ? 1000 : 1);
}

// What a container's own cgroup limits.
Resources OfContainer(const Resources& resources) {
  Resources wanted;
  wanted.set_cpu_period(resources.cpu_period());
  wanted.set_cpu_quota(resources.cpu_quota());
  wanted.set_cpu_shares(resources.cpu_shares());
  wanted.set_cpuset_cpus(resources.cpuset_cpus());
  wanted.set_cpuset_mems(resources.cpuset_mems());
  return wanted;
}

bool HasCpusets(const Resources& resources) {
  return !resources.cpuset_cpus().empty() || !resources.cpuset_mems().empty();
}

}  // namespace

Result<std::string> PodCgroup::PathFor(const std::string& parent, const std::string& id) {
  const Result<std::string> expanded = ExpandCgroupParent(parent);
  if (!expanded.ok()) return expanded.status();
  return (*expanded == "/" ? "" : *expanded) + "/usetl-" + id.substr(0, 16);
}

Status PodCgroup::Create(const runtime::v1::LinuxContainerResources& resources) const {
  if (hierarchies_.all.empty()) {
    return Status(EIO, "a cgroup_parent or limits are given, but no cgroup hierarchy is mounted");
  }
  // All of them first: whoever finds it there knows that the limits are what failed.
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    USETL_RETURN_IF_ERROR(Make(hierarchy));
  }
  return Limit(resources);
}

bool PodCgroup::IsThere() const {
  return std::ranges::all_of(hierarchies_.all, [this](const Hierarchy& hierarchy) {
    return IsDirectory(Directory(hierarchy));
  });
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

Status PodCgroup::Make(const Hierarchy& hierarchy) const {
  const std::string directory = Directory(hierarchy);
  if (hierarchies_.unified) USETL_RETURN_IF_ERROR(PassControllersOn(hierarchy.mount + Parent()));
  // One that is there is of a usetld that was killed: ids are never used twice.
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return Failed("create the pod's cgroup " + directory);
  }
  return Status();
}

Result<std::vector<CgroupFile>> PodCgroup::OpenProcesses(const std::string& container) const {
  const std::string name = hierarchies_.unified ? "/cgroup.procs" : "/tasks";
  std::vector<CgroupFile> opened;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    std::string directory = Directory(hierarchy);
    if (HoldsContainers(hierarchy)) {
      const std::string own = DirectoryOf(container, hierarchy);
      if (IsDirectory(own)) directory = own;
    }
    const std::string path = directory + name;
    Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.ok()) return Failed("open " + path);
    opened.push_back({std::move(file), !hierarchy.controllers.contains("memory")});
  }
  return opened;
}

Status PodCgroup::Remove() const {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  Status first;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    Status removed;
    if (HoldsContainers(hierarchy)) removed = RemoveChildren(Directory(hierarchy), end);
    if (removed.ok()) removed = RemoveDirectory(Directory(hierarchy), end);
    if (first.ok()) first = removed;
  }
  return first;
}

CgroupEvents PodCgroup::ReadEvents() const {
  CgroupEvents events;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    const std::string directory = Directory(hierarchy);
    if (LimitsProcessor(hierarchy)) ReadThrottling(directory, hierarchies_.unified, &events);
    if (hierarchies_.unified) {
      events.memory_failures = ReadOptional(directory + "/memory.events", "max");
      events.cpu = ReadPressure(directory + "/cpu.pressure");
      events.memory = ReadPressure(directory + "/memory.pressure");
      events.io = ReadPressure(directory + "/io.pressure");
    } else if (hierarchy.controllers.contains("memory")) {
      events.memory_failures = ReadOptional(directory + "/memory.failcnt", "");
    }
  }
  return events;
}

Status PodCgroup::CreateFor(const std::string& container, const Resources& resources) const {
  const Resources wanted = OfContainer(resources);
  bool made = false;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    if (!HasToHold(hierarchy, wanted)) continue;
    made = true;
    if (hierarchies_.unified) USETL_RETURN_IF_ERROR(PassControllersOn(Directory(hierarchy)));
    const std::string directory = DirectoryOf(container, hierarchy);
    // One that is there is of a start that failed, or of a usetld that was killed.
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return Failed("create the container's cgroup " + directory);
    }
  }
  return made ? LimitFor(container, wanted) : Status();
}

Status PodCgroup::LimitFor(const std::string& container, const Resources& resources) const {
  const Resources wanted = OfContainer(resources);
  std::vector<const Hierarchy*> own;
  bool lacks = false;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    if (!HoldsContainers(hierarchy)) continue;
    if (IsDirectory(DirectoryOf(container, hierarchy))) {
      own.push_back(&hierarchy);
    } else if (HasToHold(hierarchy, wanted)) {
      lacks = true;
    }
  }
  if (own.empty() || lacks) return Status(ENOENT, "the container has no cgroup of its own");
  for (const Hierarchy* hierarchy : own) {
    const std::string directory = DirectoryOf(container, *hierarchy);
    if (hierarchies_.unified) USETL_RETURN_IF_ERROR(WriteUnifiedLimits(directory, wanted));
    for (const char* controller : {"cpu", "cpuset"}) {
      if (!hierarchy->controllers.contains(controller)) continue;
      USETL_RETURN_IF_ERROR(WriteLimits(directory, Directory(*hierarchy), controller, wanted));
    }
  }
  return Status();
}

bool PodCgroup::HasToHold(const Hierarchy& hierarchy, const Resources& wanted) const {
  if (hierarchies_.unified) return true;
  const bool limits_cpu = wanted.cpu_quota() > 0 || wanted.cpu_shares() != 0;
  return (limits_cpu && hierarchy.controllers.contains("cpu")) ||
         (HasCpusets(wanted) && hierarchy.controllers.contains("cpuset"));
}

bool PodCgroup::HasCpuset() const {
  if (hierarchies_.unified) {
    const Result<std::string> available =
        ReadCgroupFile(Directory(hierarchies_.all[0]) + "/cgroup.controllers");
    return available.ok() && HasController(*available, "cpuset");
  }
  return std::ranges::any_of(hierarchies_.all, [](const Hierarchy& hierarchy) {
    return hierarchy.controllers.contains("cpuset");
  });
}

Status PodCgroup::RemoveFor(const std::string& container) const {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    if (!HoldsContainers(hierarchy)) continue;
    USETL_RETURN_IF_ERROR(RemoveDirectory(DirectoryOf(container, hierarchy), end));
  }
  return Status();
}

CgroupEvents PodCgroup::ReadEventsOf(const std::string& container) const {
  CgroupEvents events;
  for (const Hierarchy& hierarchy : hierarchies_.all) {
    if (!LimitsProcessor(hierarchy)) continue;
    ReadThrottling(DirectoryOf(container, hierarchy), hierarchies_.unified, &events);
  }
  return events;
}

}  // namespace usetl::cri
