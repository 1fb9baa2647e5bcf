#include "cri/cgroup/parent_cgroups.h"

#include <sys/stat.h>

#include <ranges>

#include "cri/cgroup/cgroup_files.h"

namespace usetl::cri {
namespace {

// 0: nothing is there.
mode_t ModeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mode : 0;
}

std::string Above(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Nothing is in these files where the hierarchy is another one, or where one was made a moment ago
// and nobody has come to that yet.
bool LacksCpuset(const std::string& directory) {
  if (ModeOf(directory + "/cpuset.cpus") == 0) return false;
  const Result<std::string> processors = ReadCgroupFile(directory + "/cpuset.cpus");
  const Result<std::string> memory = ReadCgroupFile(directory + "/cpuset.mems");
  return !processors.ok() || !memory.ok() || processors->size() <= 1 || memory->size() <= 1;
}

}  // namespace

Result<std::vector<std::string>> ParentCgroups::Hold(const Hierarchies& hierarchies,
                                                     const std::string& parent, Whose whose,
                                                     const std::string& pod) {
  std::vector<std::string> directories;
  const std::lock_guard lock(mutex_);
  for (const Hierarchy& hierarchy : hierarchies.all) {
    const auto first = directories.size();
    // From the innermost one outwards: most often it is there, and so is what is above.
    for (std::string path = parent; !path.empty() && path != "/"; path = Above(path)) {
      const std::string directory = hierarchy.mount + path;
      const mode_t mode = ModeOf(directory);
      if (mode != 0 && !S_ISDIR(mode)) {
        return Status(EINVAL, "usetl: cgroup_parent: " + directory + " is no directory");
      }
      if (mode != 0 && whose == Whose::kClients && !held_.contains(directory)) break;
      directories.insert(directories.begin() + first, directory);
    }
  }
  for (const std::string& directory : directories) held_[directory].insert(pod);
  return directories;
}

void ParentCgroups::HoldAgain(const std::vector<std::string>& directories, const std::string& pod) {
  const std::lock_guard lock(mutex_);
  for (const std::string& directory : directories) held_[directory].insert(pod);
}

Status ParentCgroups::Make(const Hierarchies& hierarchies,
                           const std::vector<std::string>& directories) {
  for (const std::string& directory : directories) {
    if (hierarchies.unified) USETL_RETURN_IF_ERROR(PassControllersOn(Above(directory)));
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return Status(EIO, Status::Errno("create the cgroup " + directory).message());
    }
    if (hierarchies.unified || !LacksCpuset(directory)) continue;
    USETL_RETURN_IF_ERROR(WriteLimits(directory, Above(directory), "cpuset", {}));
  }
  return Status();
}

Status ParentCgroups::Drop(const std::vector<std::string>& directories, const std::string& pod) {
  Status first;
  // Not beside Hold(), which would find what is just going.
  const std::lock_guard lock(mutex_);
  for (const std::string& directory : directories | std::views::reverse) {
    const auto held = held_.find(directory);
    if (held != held_.end()) {
      held->second.erase(pod);
      if (!held->second.empty()) continue;
      held_.erase(held);
    }
    const Status removed = RemoveCgroupDirectory(directory);
    const bool used = removed.code() == EBUSY || removed.code() == ENOTEMPTY;  // by somebody else
    if (!removed.ok() && !used && first.ok()) first = removed;
  }
  return first;
}

}  // namespace usetl::cri
