// bake_directory.h: where a runtime is made, until it takes its place among those that are whole.
#ifndef USETL_VMM_POOL_BAKE_DIRECTORY_H_
#define USETL_VMM_POOL_BAKE_DIRECTORY_H_

#include <filesystem>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// NAME.new beside NAME, empty at first. It goes with this, whatever is in it then.
class BakeDirectory {
 public:
  // EBUSY: another process makes a runtime of that name. What a killed one left is removed.
  static Result<BakeDirectory> Create(const std::string& runtimes, const std::string& name);
  BakeDirectory(BakeDirectory&& other) noexcept;
  BakeDirectory& operator=(BakeDirectory&&) = delete;
  ~BakeDirectory();

  const std::filesystem::path& path() const { return path_; }
  // It becomes NAME in one step: at any time there is the old one or the new one.
  Status Finish();

 private:
  BakeDirectory(std::filesystem::path target, std::filesystem::path path, Fd lock)
      : target_(std::move(target)), path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path target_, path_;
  Fd lock_;      // of the directory, which is locked
  Fd replaced_;  // of the one before, in the same way
};

}  // namespace usetl

#endif  // USETL_VMM_POOL_BAKE_DIRECTORY_H_
