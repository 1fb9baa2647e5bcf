// mount_server.h: what the mount service answers to each thing that a guest asks of directories.
#ifndef USETL_VMM_PROXY_POD_MOUNT_SERVER_H_
#define USETL_VMM_PROXY_POD_MOUNT_SERVER_H_

#include <span>
#include <vector>

#include "vmm/proxy/pod/mount_files.h"
#include "vmm/proxy/pod/mount_reader.h"
#include "vmm/proxy/pod/mount_writer.h"

namespace usetl::pod {

// Single-threaded; calls block as the host's file system does.
class MountServer {
 public:
  // `directories`: mounts 0 and up. `region` and `buffer` as MountFiles has them.
  MountServer(std::vector<Fd> directories, const GuestRegionView* region, std::span<uint8_t> buffer)
      : files_(region, buffer), writer_(std::move(directories), 0, region) {}

  MountAnswer Answer(const MountOrder& order);

 private:
  MountFiles files_;
  MountWriter writer_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNT_SERVER_H_
