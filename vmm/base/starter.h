// starter.h: a daemon's end of the pipe to the process that started it.
//
// The starter keeps the reading end. It learns through it that the daemon serves, or why it does
// not; the daemon learns through it that the starter is gone.
#ifndef USETL_VMM_BASE_STARTER_H_
#define USETL_VMM_BASE_STARTER_H_

#include <string_view>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

// What a daemon writes when it serves; anything else is an error.
inline constexpr std::string_view kReadyLine = "ready\n";

class Starter {
 public:
  // -1: nobody waits (started by hand or by an init system): errors go to stderr.
  explicit Starter(int fd) : fd_(fd) {}

  // From now on the starter's death ends this process by SIGTERM.
  Status Follow();
  // Says that the daemon serves.
  Status Ready();
  // Says why it does not, or not any more; the process's exit status.
  int Fail(const char* program, const Status& status);
  // Whether Fail() has told the starter, which cleans up then.
  bool told() const { return told_; }

 private:
  Fd fd_;
  bool told_ = false;
};

}  // namespace usetl

#endif  // USETL_VMM_BASE_STARTER_H_
