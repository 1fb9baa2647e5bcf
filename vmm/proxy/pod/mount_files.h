// mount_files.h: files below mounted directories that a guest has open: as in any process, they
// stay what they are when somebody moves or removes their names.
#ifndef USETL_VMM_PROXY_POD_MOUNT_FILES_H_
#define USETL_VMM_PROXY_POD_MOUNT_FILES_H_

#include <span>
#include <string>
#include <vector>

#include "vmm/proxy/pod/mount_reader.h"

namespace usetl::pod {

// Single-threaded; calls block as the host's file system does.
class MountFiles {
 public:
  // `region` has what is written; `buffer` gets what is read. Both must outlive this.
  MountFiles(const GuestRegionView* region, std::span<uint8_t> buffer)
      : region_(region), buffer_(buffer) {}

  // kCreate, kReplace and kOpen below the mount `root`. ENFILE: kMaxMountHandles are open.
  MountAnswer Open(int root, const MountOrder& order);
  // kRead, kWrite, kTruncate, kSync and what is kMountOpened, by a handle; EBADF. Of a kRead no
  // more than fills the buffer.
  MountAnswer Apply(const abi::MountChange& change);
  void Close(uint32_t handle);

 private:
  MountAnswer Read(int file, uint64_t position, uint64_t size);
  MountAnswer Change(int file, const abi::MountChange& change);

  const GuestRegionView* region_;
  std::span<uint8_t> buffer_;
  std::vector<Fd> files_;  // by handle
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNT_FILES_H_
