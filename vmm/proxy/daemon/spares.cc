#include "vmm/proxy/daemon/spares.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace usetl {
namespace {

// Waits for a client. When the system has no descriptor left (ENFILE) it tries again, after pauses.
Fd AcceptOne(int listener) {
  constexpr useconds_t kPauseUs = 100'000;
  for (bool complained = false;;) {
    Fd client(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (client.ok()) return client;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != ENFILE && errno != EMFILE && errno != ENOBUFS && errno != ENOMEM) return client;
    if (!std::exchange(complained, true)) std::perror("usetl-proxy: accept; trying again");
    usleep(kPauseUs);
  }
}

}  // namespace

Result<Spares> Spares::Create(int listener, size_t count, uint32_t numbers, Prepare prepare,
                              Work work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Status::Errno("pipe");
  Spares spares;
  spares.listener_ = listener;
  spares.count_ = count;
  spares.numbers_ = numbers;
  spares.prepare_ = std::move(prepare);
  spares.work_ = std::move(work);
  spares.taken_read_ = Fd(ends[0]);
  spares.taken_write_ = Fd(ends[1]);
  return spares;
}

Status Spares::Fill() {
  const pid_t daemon = getpid();
  while (missing()) {
    if (in_use_.size() >= numbers_) return Status(EAGAIN, "as many workers as there are users");
    do {
      number_ = (number_ + 1) % numbers_;
    } while (in_use_.contains(number_));
    // Without the handlers that libraries have for a fork (p11-kit, gnutls, which libcurl brings
    // along and nobody uses): a worker would get pages of theirs for nothing. OpenSSL goes by the
    // process id.
    const pid_t worker = _Fork();
    if (worker < 0) return Status::Errno("fork a worker");
    if (worker == 0) BeWorker(daemon);
    waiting_.insert(worker);
    living_[worker] = number_;
    in_use_.insert(number_);
  }
  return Status();
}

void Spares::BeWorker(pid_t daemon) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != daemon) _exit(1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  taken_read_.Reset();
  prepare_();
  Fd client = AcceptOne(listener_);
  if (!client.ok()) _exit(1);
  const pid_t self = getpid();
  if (write(taken_write_.get(), &self, sizeof self) != sizeof self) _exit(1);
  taken_write_.Reset();
  close(listener_);
  work_(std::move(client), number_);
  _exit(0);
}

void Spares::OnTaken() {
  pid_t worker;
  while (read(taken_read_.get(), &worker, sizeof worker) == sizeof worker) waiting_.erase(worker);
}

bool Spares::OnDeath(pid_t worker) {
  // One that had a client and is gone must not count as a spare that died.
  OnTaken();
  if (const auto found = living_.find(worker); found != living_.end()) {
    in_use_.erase(found->second);
    living_.erase(found);
  }
  return waiting_.erase(worker) > 0;
}

void Spares::Leave() {
  close(listener_);
  taken_read_.Reset();
  taken_write_.Reset();
}

}  // namespace usetl
