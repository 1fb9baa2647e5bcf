#include "cri/container/image_packs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "vmm/abi/control.h"
#include "vmm/pack/pack_reader.h"

namespace usetl::cri {
namespace {

// Of images that came and went: checked again when they come back.
constexpr size_t kMostRemembered = 4096;

}  // namespace

Result<ImagePacks::Identity> ImagePacks::Identify(const Fd& file, const std::string& path) {
  struct stat info;
  if (fstat(file.get(), &info) != 0) return Status::Errno("stat " + path);
  return Identity{info.st_dev,         info.st_ino,          static_cast<uint64_t>(info.st_size),
                  info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec,
                  info.st_ctim.tv_nsec};
}

Status ImagePacks::Check(const Fd& file, const std::string& path) {
  const Result<Identity> before = Identify(file, path);
  if (!before.ok()) return before.status();
  {
    const std::lock_guard lock(mutex_);
    const auto found = checked_.find(path);
    if (found != checked_.end() && found->second == *before) return Status();
  }
  Fd own(fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
  if (!own.ok()) return Status::Errno("open " + path);
  const Result<pack::Pack> pack = pack::AdoptPack(std::move(own), path, /*with_digest=*/false);
  if (!pack.ok()) return pack.status();
  const std::lock_guard lock(mutex_);
  if (checked_.size() >= kMostRemembered) checked_.clear();
  checked_.insert_or_assign(path, *before);
  return Status();
}

Result<std::vector<Fd>> ImagePacks::Open(const image::Image& image) {
  if (image.packs.size() > abi::kMaxImagePacks) {
    return Status(E2BIG, "usetl: the image has " + std::to_string(image.packs.size()) +
                             " layers, a function takes " + std::to_string(abi::kMaxImagePacks));
  }
  std::vector<Fd> files;
  for (const std::string& path : image.packs) {
    Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.ok()) return Status::Errno("open " + path);
    USETL_RETURN_IF_ERROR(Check(file, path));
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace usetl::cri
