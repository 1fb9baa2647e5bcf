// user_files.h: opens files as another user.
#ifndef USETL_VMM_VMMD_USER_FILES_H_
#define USETL_VMM_VMMD_USER_FILES_H_

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// Of a file of a cgroup (version 1) the kernel remembers who opened it, and moves processes of that
// user only: what root has opened moves every process of the node, whoever holds it.
//
// A thread does it: whoever changes his user loses the signal that his parent's end sends him. One
// that stays: while somebody on the machine moves processes, starting a thread takes as long as
// that. For one thread to use.
class UserFiles {
 public:
  static Result<std::unique_ptr<UserFiles>> Start();
  ~UserFiles();
  UserFiles(const UserFiles&) = delete;
  UserFiles& operator=(const UserFiles&) = delete;

  // These files once more, open for writing, in their order. REQUIRES: root, or `user` is this one.
  Result<std::vector<Fd>> Open(uid_t user, std::span<const int> files);

 private:
  UserFiles();
  void Run();
  Result<std::vector<Fd>> OpenHere() const;

  const uid_t own_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false, ended_ = false;
  uid_t user_ = 0;
  std::span<const int> files_;
  Result<std::vector<Fd>> opened_ = std::vector<Fd>();
  std::thread thread_;  // it uses the others
};

}  // namespace usetl

#endif  // USETL_VMM_VMMD_USER_FILES_H_
