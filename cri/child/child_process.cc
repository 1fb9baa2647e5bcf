#include "cri/child/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace usetl::cri {
namespace {

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ChildProcess::~ChildProcess() {
  if (pid_ <= 0) return;
  kill(-pid_, SIGKILL);  // before it is reaped: the number is still its own
  (void)Reap();
}

Status ChildProcess::Start(ChildProgram program) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const int wanted[] = {program.in, program.out, program.err};
  for (int i = STDIN_FILENO; i <= STDERR_FILENO; ++i) {
    if (wanted[i] >= 0) {
      posix_spawn_file_actions_adddup2(&actions, wanted[i], i);
    } else {
      posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    }
  }
  // Whatever a library of ours left open is not the child's.
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error =
      posix_spawn(&pid_, program.path.c_str(), &actions, &attributes,
                  Pointers(&program.arguments).data(), Pointers(&program.environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    pid_ = -1;
    return Status(error, "start " + program.path + ": " + std::strerror(error));
  }
  descriptor_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  return descriptor_.ok() ? Status() : Status::Errno("pidfd_open");
}

int ChildProcess::Reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;
  return status;
}

Result<ChildPipe> MakeChildPipe(bool we_write) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Status::Errno("pipe");
  ChildPipe made{Fd(ends[we_write ? 1 : 0]), Fd(ends[we_write ? 0 : 1])};
  if (fcntl(made.ours.get(), F_SETFL, O_NONBLOCK) != 0) return Status::Errno("pipe");
  return made;
}

void ChildOutput::Read() {
  constexpr int kTurns = 64;
  char bytes[16 << 10];
  for (int turn = 0; turn < kTurns && from_.ok(); ++turn) {
    const ssize_t n = read(from_.get(), bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) from_.Reset();
    if (n > 0) Add(bytes, static_cast<size_t>(n));
  }
}

void ChildOutput::Add(const char* bytes, size_t size) {
  cut_ = cut_ || text_.size() + size > most_;
  if (keep_ == Keep::kFirst) size = std::min(size, most_ - text_.size());
  text_.append(bytes, size);
  if (text_.size() > most_) text_.erase(0, text_.size() - most_);
}

}  // namespace usetl::cri
