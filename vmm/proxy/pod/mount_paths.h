// mount_paths.h: how paths below mounts are opened. They come from a guest, and others change what
// they lead to while they are walked.
#ifndef USETL_VMM_PROXY_POD_MOUNT_PATHS_H_
#define USETL_VMM_PROXY_POD_MOUNT_PATHS_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/abi/mail.h"
#include "vmm/base/fd.h"

namespace usetl::pod {

// fchmodat2(2) of Linux 6.6 and faccessat2(2) of 5.8, which headers may not know; one number
// everywhere.
inline constexpr int kChangeModeAt = 452;
inline constexpr int kAccessAt = 439;

// Names between single slashes, none of them "." or "..".
bool PlainPath(std::string_view path);

// openat2(2) below `root`: never out of it, through no symbolic link. With O_PATH | O_NOFOLLOW the
// last name may be one. Not ok: errno says why.
Fd OpenBelow(int root, const std::string& path, uint64_t flags, mode_t mode = 0);

// A regular file: never one that waits for somebody or does something when it is opened. Not ok:
// errno says why, EPERM for anything else.
Fd OpenFileBelow(int root, const std::string& path, uint64_t flags, mode_t mode = 0);

// `info` as the guest is told it; kNone for what is neither file, directory nor link.
abi::MountedFile Describe(const struct stat& info);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_MOUNT_PATHS_H_
