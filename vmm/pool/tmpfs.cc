#include "vmm/pool/tmpfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

namespace usetl {
namespace {

constexpr unsigned kOnlyData = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

}  // namespace

Result<Fd> DetachedTmpfs(const std::vector<std::pair<const char*, std::string>>& options,
                         unsigned attributes) {
  const Fd context(static_cast<int>(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context.ok() && errno == EPERM) {
    return Status(EPERM, "the daemons need root, to jail USFs: use sudo (usetl doctor says more)");
  }
  if (!context.ok()) return Status::Errno("fsopen tmpfs");
  for (const auto& [name, value] : options) {
    if (syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, name, value.c_str(), 0) != 0) {
      return Status::Errno(std::string("tmpfs option ") + name);
    }
  }
  if (syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Status::Errno("creating a tmpfs");
  }
  Fd mount(static_cast<int>(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount.ok()) return Status::Errno("fsmount");
  return mount;
}

Result<Fd> NewHugeFile(uint64_t size) {
  Result<Fd> mount = DetachedTmpfs({{"huge", "advise"}, {"size", std::to_string(size)}}, kOnlyData);
  if (!mount.ok()) return mount.status();
  Fd fd(openat(mount->get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd.ok()) return Status::Errno("a file of 2 MB pages");
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return Status::Errno("sizing a file of 2 MB pages");
  }
  return fd;
}

}  // namespace usetl
