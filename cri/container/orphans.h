// orphans.h: workers whose start the end of an earlier usetld cut off. Nobody heard that it
// succeeded, and nobody will.
#ifndef USETL_CRI_CONTAINER_ORPHANS_H_
#define USETL_CRI_CONTAINER_ORPHANS_H_

#include <chrono>
#include <string>
#include <vector>

#include "cri/container/process_mark.h"
#include "vmm/base/fd.h"

namespace usetl::cri {

class Orphans {
 public:
  // Tells the worker to end, if there is one. Without `mark.started` it is not waited for: an older
  // usetld started it, or was killed before any had taken the start.
  void Add(const std::string& control_socket, const ProcessMark& mark);
  // Waits until all have ended. One that hangs is killed after `patience`, and waited for as long
  // again: what a disk keeps ends when that answers.
  void End(std::chrono::milliseconds patience);

 private:
  struct Orphan {
    pid_t pid;
    Fd process;
  };
  std::vector<Orphan> orphans_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_ORPHANS_H_
