// files.h: files that survive a crash, and locks between processes.
#ifndef USETL_CRI_IMAGE_FILES_H_
#define USETL_CRI_IMAGE_FILES_H_

#include <functional>
#include <string>
#include <string_view>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::image {

// Asked now and then while something takes long; true ends it with ECANCELED. May be empty.
using Cancelled = std::function<bool()>;
inline bool IsCancelled(const Cancelled& cancelled) { return cancelled && cancelled(); }
Status CancelledStatus();

// The whole file; EFBIG above `limit` bytes. Follows no link.
Result<std::string> ReadFile(const std::string& path, size_t limit);
// ENOSPC also for what else means that there is no room (quota).
Status WriteAll(int fd, std::string_view bytes);
// Makes the names in a directory last.
Status SyncDirectory(const std::string& path);
// Replaces `path` in one step by a file that is on the disk: written beside, as `temporary`.
Status ReplaceFile(const std::string& temporary, const std::string& path, std::string_view bytes);
// Flushes `fd`, which is `temporary`, and gives it its name for good.
Status PublishFile(int fd, const std::string& temporary, const std::string& path);

// The descriptor of `path`, made if missing, with its lock held until it is closed. The file is the
// one of that name when this returns. Waits for other holders, threads too.
Result<Fd> LockFile(const std::string& path, const Cancelled& cancelled);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_FILES_H_
