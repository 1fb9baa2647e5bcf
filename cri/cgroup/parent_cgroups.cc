#include "cri/cgroup/parent_cgroups.h"

#include <sys/stat.h>
#include <unistd.h>

#include <ranges>

#include "cri/cgroup/cgroup_files.h"

namespace usetl::cri {
namespace {

bool IsThere(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

std::string Above(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

std::vector<std::string> ParentCgroups::Hold(const Hierarchies& hierarchies,
                                             const std::string& parent) {
  std::vector<std::string> directories;
  const std::lock_guard lock(mutex_);
  for (const Hierarchy& hierarchy : hierarchies.all) {
    const auto first = directories.size();
    // From the innermost one outwards: most often it is there, and so is what is above.
    for (std::string path = parent; !path.empty() && path != "/"; path = Above(path)) {
      const std::string directory = hierarchy.mount + path;
      if (IsThere(directory) && !held_.contains(directory)) break;
      directories.insert(directories.begin() + first, directory);
    }
  }
  for (const std::string& directory : directories) ++held_[directory];
  return directories;
}

void ParentCgroups::HoldAgain(const std::vector<std::string>& directories) {
  const std::lock_guard lock(mutex_);
  for (const std::string& directory : directories) ++held_[directory];
}

Status ParentCgroups::Make(const Hierarchies& hierarchies,
                           const std::vector<std::string>& directories) {
  for (const std::string& directory : directories) {
    if (hierarchies.unified) USETL_RETURN_IF_ERROR(PassControllersOn(Above(directory)));
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return Status(EIO, Status::Errno("create the cgroup " + directory).message());
    }
    // Nothing is in these files where the hierarchy is another one.
    if (hierarchies.unified || !IsThere(directory + "/cpuset.cpus")) continue;
    USETL_RETURN_IF_ERROR(WriteLimits(directory, Above(directory), "cpuset", {}));
  }
  return Status();
}

Status ParentCgroups::Drop(const std::vector<std::string>& directories) {
  Status first;
  // Not beside Hold(), which would find what is just going.
  const std::lock_guard lock(mutex_);
  for (const std::string& directory : directories | std::views::reverse) {
    const auto held = held_.find(directory);
    if (held != held_.end() && --held->second > 0) continue;
    if (held != held_.end()) held_.erase(held);
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) continue;
    if (errno == EBUSY || errno == ENOTEMPTY) continue;  // somebody else uses it by now
    if (first.ok()) first = Status(EIO, Status::Errno("remove the cgroup " + directory).message());
  }
  return first;
}

}  // namespace usetl::cri
