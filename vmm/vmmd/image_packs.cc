#include "vmm/vmmd/image_packs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <utility>

namespace usetl {

Result<std::vector<ImagePack>> TakeImagePacks(std::vector<Fd> files) {
  if (files.size() > abi::kMaxImagePacks) {
    return Status(E2BIG, "the image has " + std::to_string(files.size()) +
                             " layers, a function takes " + std::to_string(abi::kMaxImagePacks));
  }
  std::vector<ImagePack> packs;
  uint64_t room = abi::kImagePacks.size;
  for (Fd& file : files) {
    struct stat info;
    const int flags = fcntl(file.get(), F_GETFL);
    if (flags < 0) return Status::Errno("a layer of the image");
    // First: to ask for more is a call of whatever file system it is of.
    if ((flags & (O_ACCMODE | O_PATH)) != O_RDONLY) {
      return Status(EPERM, "a layer of the image is not open for reading alone");
    }
    if (fstat(file.get(), &info) != 0) return Status::Errno("a layer of the image");
    if (!S_ISREG(info.st_mode) || info.st_uid != 0 || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        info.st_size <= 0) {
      return Status(EPERM, "a layer of the image is no file that only root can write");
    }
    // Each may lose up to 2 MB to its alignment.
    const auto size = static_cast<uint64_t>(info.st_size);
    if (size > room || room - size < abi::kHugePageSize) {
      return Status(E2BIG, "the layers of the image are larger than the " +
                               std::to_string(abi::kImagePacks.size >> 20) +
                               " MB that a function takes");
    }
    room -= size + abi::kHugePageSize;
    packs.push_back({std::move(file), size});
  }
  return packs;
}

}  // namespace usetl
