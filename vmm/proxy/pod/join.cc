#include "vmm/proxy/pod/join.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <span>

#include "vmm/abi/file_table.h"
#include "vmm/base/oom_score.h"
#include "vmm/pool/protocol.h"
#include "vmm/proxy/pod/protocol.h"

namespace usetl::pod {
namespace {

Status Bad(const char* what) { return Status(EPROTO, std::string("a container's join: ") + what); }

bool IsNetwork(int fd) { return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET; }

bool IsListening(int fd) {
  const auto option = [fd](int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
  return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_SEQPACKET &&
         option(SO_ACCEPTCONN) == 1;
}

bool IsWritable(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
}

bool IsRegular(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

bool IsDirectory(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
}

bool IsOfCgroups(int fd) {
  struct statfs info;
  return fstatfs(fd, &info) == 0 &&
         (info.f_type == CGROUP_SUPER_MAGIC || info.f_type == CGROUP2_SUPER_MAGIC);
}

}  // namespace

Result<Join> ReadJoin(ipc::Message message) {
  static_assert(kJoinFdCount + pool::kMaxCgroups + abi::kMaxMounts <= ipc::kMaxDescriptors);
  JoinRecord record;
  if (message.bytes.size() != sizeof record) return Bad("wrong size");
  std::memcpy(&record, message.bytes.data(), sizeof record);
  if (record.version != kVersion) {
    return Status(EPROTO, "usetld speaks version " + std::to_string(record.version) +
                              " of the protocol, usetl-proxy " + std::to_string(kVersion));
  }
  std::vector<Fd>& fds = message.fds;
  if (record.cgroups > pool::kMaxCgroups || record.directories > abi::kMaxMounts ||
      fds.size() != size_t{kJoinFdCount} + record.cgroups + record.directories) {
    return Bad("wrong number of descriptors");
  }
  if (record.usf_cgroups >> record.cgroups != 0) return Bad("no such cgroup");
  if (record.groups > std::size(record.group)) return Bad("too many groups");
  // The last id means "unchanged" to setresuid(2): root would stay root.
  constexpr uint32_t kNoId = ~0u;
  const std::span<const uint32_t> groups(record.group, record.groups);
  if (record.uid == kNoId || record.gid == kNoId ||
      std::ranges::find(groups, kNoId) != groups.end()) {
    return Bad("no id of a user or group");
  }
  if ((record.capabilities & ~kFileCapabilities) != 0) return Bad("too many capabilities");
  if (record.oom_score < kLeastOomScore || record.oom_score > kMostOomScore) {
    return Bad("no score");
  }
  if (!IsNetwork(fds[kNetworkFd].get())) return Bad("the first descriptor is no network namespace");
  if (!IsListening(fds[kControlFd].get())) return Bad("the control socket does not listen");
  const int exit_file = fds[kExitFd].get();
  if (!IsRegular(exit_file) || !IsWritable(exit_file)) return Bad("no exit file");
  Join join;
  const size_t first_directory = kJoinFdCount + record.cgroups;
  for (size_t i = first_directory; i < fds.size(); ++i) {
    if (!IsDirectory(fds[i].get())) return Bad("no directory");
    join.directories.push_back(std::move(fds[i]));
  }
  join.oom_score = record.oom_score;
  join.identity = {
      record.uid, record.gid, {record.group, record.group + record.groups}, record.capabilities};
  for (size_t i = kJoinFdCount; i < first_directory; ++i) {
    if (!IsOfCgroups(fds[i].get()) || !IsWritable(fds[i].get())) return Bad("no file of a cgroup");
    if (record.usf_cgroups & (1u << (i - kJoinFdCount))) {
      join.usf_cgroups.emplace_back(fcntl(fds[i].get(), F_DUPFD_CLOEXEC, 0));
      if (!join.usf_cgroups.back().ok()) return Status::Errno("a descriptor of a cgroup");
    }
    join.cgroups.push_back(std::move(fds[i]));
  }
  join.network = std::move(fds[kNetworkFd]);
  join.control = std::move(fds[kControlFd]);
  join.exit_file = std::move(fds[kExitFd]);
  return join;
}

Status EnterNetwork(const Fd& network) {
  if (setns(network.get(), CLONE_NEWNET) == 0) return Status();
  return Status::Errno("entering the pod's network");
}

bool EnteredByThread(const Fd& cgroup) {
  struct statfs info;
  return fstatfs(cgroup.get(), &info) == 0 && info.f_type == CGROUP_SUPER_MAGIC;
}

Status EnterCgroups(const std::vector<Fd>& cgroups) {
  Status first;
  for (const Fd& cgroup : cgroups) {
    if (write(cgroup.get(), "0", 1) == 1) continue;  // 0: whoever writes
    if (first.ok()) first = Status::Errno("entering the pod's cgroup");
  }
  return first;
}

}  // namespace usetl::pod
