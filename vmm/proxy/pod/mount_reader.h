// mount_reader.h: what a function sees of names in directories that are mounted.
//
// As mount_writer.h: paths are a guest's, and calls block as the host's file system does.
#ifndef USETL_VMM_PROXY_POD_MOUNT_READER_H_
#define USETL_VMM_PROXY_POD_MOUNT_READER_H_

#include <string>
#include <vector>

#include "vmm/proxy/pod/mount_writer.h"

namespace usetl::pod {

// A MountDone and what it announces.
struct MountAnswer {
  abi::MountDone done{};  // `files` and `text_size` are set by Pack()
  std::vector<abi::MountedFile> files;
  std::string text;

  static MountAnswer Error(int error) {
    return {{.error = error, .entry = abi::kNoEntry, .handle = abi::kNoHandle}, {}, {}};
  }
  std::vector<uint8_t> Pack() const;
  // EPROTO: sizes that do not match.
  static Result<MountAnswer> Unpack(std::span<const uint8_t> bytes);
};

// kLook below the mount `root`.
MountAnswer LookAtNames(int root, const MountOrder& order);
// kList.
MountAnswer ListNames(int root, const MountOrder& order);
// kAccess, as whom the caller is.
int CheckAccess(int root, const MountOrder& order);
// kSpace, by a path and of what is open.
MountAnswer SpaceBelow(int root, const MountOrder& order);
MountAnswer SpaceOf(int file);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNT_READER_H_
