#include "vmm/vmmd/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "vmm/base/mounts.h"

namespace usetl {
namespace {

Result<std::string> ReadText(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file || !text) return Status(EIO, std::string(path) + " cannot be read");
  return text.str();
}

std::string PathOf(const Fd& file) { return "/proc/self/fd/" + std::to_string(file.get()); }

}  // namespace

bool IsCgroupFile(const Fd& file) {
  const int flags = fcntl(file.get(), F_GETFL);
  struct statfs system;
  struct stat info;
  return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY &&
         fstatfs(file.get(), &system) == 0 && fstat(file.get(), &info) == 0 &&
         S_ISREG(info.st_mode) &&
         (system.f_type == CGROUP_SUPER_MAGIC || system.f_type == CGROUP2_SUPER_MAGIC);
}

bool IsOfVersion1(const Fd& file) {
  struct statfs info;
  return fstatfs(file.get(), &info) == 0 && info.f_type == CGROUP_SUPER_MAGIC;
}

bool AreOfOneProcess(std::span<const Fd> files) {
  std::set<dev_t> hierarchies;
  for (const Fd& file : files) {
    struct stat info;
    if (fstat(file.get(), &info) != 0 || !hierarchies.insert(info.st_dev).second) return false;
  }
  return files.size() <= 1 || std::ranges::all_of(files, IsOfVersion1);
}

std::vector<std::string> TaskFiles(std::string_view mountinfo, std::string_view cgroup) {
  const std::vector<MountEntry> mounts = ParseMounts(mountinfo);
  std::vector<std::string> files;
  for (const std::string_view line : Split(cgroup, '\n')) {
    // "4:cpu,cpuacct:/path"; of version 2 it is "0::/path".
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos || second == first + 1) continue;
    const auto controllers = Split(line.substr(first + 1, second - first - 1), ',');
    const std::string_view path = line.substr(second + 1);
    for (const MountEntry& mount : mounts) {
      if (mount.type != "cgroup") continue;
      const auto options = Split(mount.options, ',');
      const bool same = std::ranges::all_of(controllers, [&](std::string_view controller) {
        return std::ranges::find(options, controller) != options.end();
      });
      if (!same) continue;
      // Of a hierarchy that is mounted from a cgroup on, the paths begin above that.
      std::string_view below = path;
      if (mount.root != "/") {
        if (!below.starts_with(mount.root)) continue;
        below.remove_prefix(mount.root.size());
        if (!below.empty() && below[0] != '/') continue;
      }
      if (below == "/") below = "";
      files.push_back(mount.path + std::string(below) + "/tasks");
    }
  }
  return files;
}

Result<HomeCgroups> HomeCgroups::Find() {
  const Result<std::string> mountinfo = ReadText("/proc/self/mountinfo");
  if (!mountinfo.ok()) return mountinfo.status();
  const Result<std::string> cgroup = ReadText("/proc/self/cgroup");
  if (!cgroup.ok()) return cgroup.status();
  HomeCgroups homes;
  for (const std::string& path : TaskFiles(*mountinfo, *cgroup)) {
    Fd file(open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
    struct stat info;
    if (!file.ok() || fstat(file.get(), &info) != 0) continue;
    homes.tasks_.emplace(info.st_dev, std::move(file));
  }
  return homes;
}

int HomeCgroups::InHierarchyOf(const Fd& file) const {
  struct stat info;
  if (fstat(file.get(), &info) != 0) return -1;
  const auto found = tasks_.find(info.st_dev);
  return found == tasks_.end() ? -1 : found->second.get();
}

Result<bool> HasProcess(const Fd& file, pid_t process) {
  const Fd list(open(PathOf(file).c_str(), O_RDONLY | O_CLOEXEC));
  if (!list.ok() && (errno == ENOENT || errno == ENODEV)) return false;
  if (!list.ok()) return Status::Errno("reading a cgroup");
  std::string text;
  char piece[4096];
  for (;;) {
    const ssize_t size = read(list.get(), piece, sizeof piece);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENODEV) return false;
    if (size < 0) return Status::Errno("reading a cgroup");
    if (size == 0) break;
    text.append(piece, size);
  }
  const auto lines = Split(text, '\n');
  return std::ranges::find(lines, std::string_view(std::to_string(process))) != lines.end();
}

Result<bool> HoldsCgroupFile(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (directory == nullptr) return Status::Errno("open " + path);
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    struct statfs info;
    if (statfs((path + "/" + entry->d_name).c_str(), &info) != 0) {
      return Status::Errno("looking at the descriptors of a USF");
    }
    if (info.f_type == CGROUP_SUPER_MAGIC || info.f_type == CGROUP2_SUPER_MAGIC) return true;
  }
  return false;
}

Result<bool> HasReceivedAll(int socket) {
  int unread = 0;
  if (ioctl(socket, SIOCOUTQ, &unread) != 0) return Status::Errno("SIOCOUTQ");
  return unread == 0;
}

}  // namespace usetl
