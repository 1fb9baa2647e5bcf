#include "vmm/base/starter.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <string>

namespace usetl {
namespace {

// The line goes whole: it is shorter than PIPE_BUF or cut.
Status WriteLine(int fd, std::string_view line) {
  if (write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size())) return Status();
  return Status::Errno("--ready-fd");
}

}  // namespace

Status Starter::Follow() {
  if (!fd_.ok()) return Status();
  // The daemon's children are none of the starter's business.
  if (fcntl(fd_.get(), F_SETFD, FD_CLOEXEC) != 0) return Status::Errno("--ready-fd");
  signal(SIGPIPE, SIG_IGN);  // a reader that leaves is an error below, no death
  // Held back until the daemon reads it in its loop, so that it cleans up whenever it comes.
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  if (sigprocmask(SIG_BLOCK, &term, nullptr) != 0) return Status::Errno("sigprocmask");
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return Status::Errno("PR_SET_PDEATHSIG");
  // It may have died before: then nobody holds the reading end.
  pollfd reader{fd_.get(), 0, 0};
  if (poll(&reader, 1, 0) < 0) return Status::Errno("--ready-fd");
  if (reader.revents != 0) {
    fd_.Reset();
    return Status(EPIPE, "--ready-fd: whoever started this has left");
  }
  return Status();
}

Status Starter::Ready() {
  if (!fd_.ok()) return Status();
  const Status status = WriteLine(fd_.get(), kReadyLine);
  fd_.Reset();
  return status;
}

int Starter::Fail(const char* program, const Status& status) {
  told_ = fd_.ok() && WriteLine(fd_.get(), status.message().substr(0, 4000)).ok();
  if (told_) return 1;
  std::fprintf(stderr, "%s: %s\n", program, status.message().c_str());
  return 1;
}

}  // namespace usetl
