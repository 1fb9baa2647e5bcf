// mover.h: moves processes into cgroups of version 2.
//
// Version 2 looks at who may write to the files rather than at whose process it is: no process of a
// USF gets them, so it cannot move itself. Moving another one takes milliseconds, which the loop
// does not have. One thread for all: the kernel moves one at a time anyway.
#ifndef USETL_VMM_VMMD_MOVER_H_
#define USETL_VMM_VMMD_MOVER_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/pool/stay.h"

namespace usetl {

class Mover {
 public:
  static Result<std::unique_ptr<Mover>> Start();
  // Those that were not begun are not moved any more.
  ~Mover();
  Mover(const Mover&) = delete;
  Mover& operator=(const Mover&) = delete;

  void Add(std::shared_ptr<CgroupMove> move);
  // Readable when moves are over.
  int fd() const { return event_.get(); }
  // Those that are over since the last call, cancelled ones too, each with its `status`. `over` is
  // the caller's to set.
  std::vector<std::shared_ptr<CgroupMove>> TakeOver();

 private:
  explicit Mover(Fd event) : event_(std::move(event)) {}
  void Run();

  Fd event_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::deque<std::shared_ptr<CgroupMove>> waiting_;
  std::vector<std::shared_ptr<CgroupMove>> over_;
  std::thread thread_;  // it uses the others
};

}  // namespace usetl

#endif  // USETL_VMM_VMMD_MOVER_H_
