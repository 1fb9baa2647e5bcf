#include "vmm/pool/bake_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <utility>

namespace usetl {
namespace {

namespace fs = std::filesystem;

constexpr char kUnfinished[] = ".new";

// What is called NAME.new is nobody's but ours.
bool IsName(const std::string& name) {
  constexpr size_t kLongest = 200;
  const bool plain = std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-' || c == ':';
  });
  return plain && !name.empty() && name.size() <= kLongest && name[0] != '.' && name[0] != '-' &&
         !name.ends_with(kUnfinished);
}

bool IsSame(const Fd& directory, const fs::path& path) {
  struct stat open, named;
  return fstat(directory.get(), &open) == 0 && lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

// The directory, locked. EBUSY: by somebody else, who makes `name`.
Result<Fd> Lock(const fs::path& path, const std::string& name) {
  Fd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.ok()) return Status::Errno("open " + path.string());
  if (flock(directory.get(), LOCK_EX | LOCK_NB) == 0) return directory;
  if (errno != EWOULDBLOCK) return Status::Errno("lock " + path.string());
  return Status(EBUSY, "runtime " + name + " is being made by another process; wait for it");
}

}  // namespace

Result<BakeDirectory> BakeDirectory::Create(const std::string& runtimes, const std::string& name) {
  if (!IsName(name)) {
    return Status(EINVAL,
                  "\"" + name +
                      "\" is no name for a runtime: letters, digits and . _ - :, not . or - first, "
                      "nor .new last");
  }
  const fs::path target = fs::path(runtimes) / name;
  const fs::path path = fs::path(runtimes) / (name + kUnfinished);
  std::error_code error;
  for (;;) {
    fs::create_directories(path, error);
    if (error) return Status(error.value(), "create " + path.string() + ": " + error.message());
    Result<Fd> lock = Lock(path, name);
    if (!lock.ok() && lock.status().code() == ENOENT) continue;  // another one was done with it
    if (!lock.ok()) return lock.status();
    if (!IsSame(*lock, path)) continue;
    BakeDirectory made(target, path, std::move(*lock));
    for (const fs::path& left : fs::directory_iterator(path, error)) {
      fs::remove_all(left, error);
      if (error) break;
    }
    if (error) return Status(error.value(), "empty " + path.string() + ": " + error.message());
    return made;
  }
}

BakeDirectory::BakeDirectory(BakeDirectory&& other) noexcept
    : target_(std::move(other.target_)),
      path_(std::exchange(other.path_, {})),
      lock_(std::move(other.lock_)),
      replaced_(std::move(other.replaced_)) {}

BakeDirectory::~BakeDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;  // what stays is removed by the next that makes this runtime
  fs::remove_all(path_, ignored);
}

Status BakeDirectory::Finish() {
  std::error_code error;
  if (fs::exists(target_, error)) {
    if (!fs::exists(target_ / "snapshot", error)) {
      return Status(EEXIST, target_.string() +
                                " is there and no runtime; remove it, or choose another --runtime");
    }
    // The old one gets the name of what is being made: locked, so that nobody takes it for that.
    Result<Fd> replaced = Lock(target_, target_.filename());
    if (!replaced.ok()) return replaced.status();
    replaced_ = std::move(*replaced);
    if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
      return Status();
    }
  } else if (rename(path_.c_str(), target_.c_str()) == 0) {
    path_.clear();
    return Status();
  }
  return Status::Errno("rename " + path_.string());
}

}  // namespace usetl
