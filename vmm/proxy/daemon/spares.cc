#include "vmm/proxy/daemon/spares.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace usetl {

Result<Spares> Spares::Create(int listener, size_t count, Prepare prepare, Work work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Status::Errno("pipe");
  Spares spares;
  spares.listener_ = listener;
  spares.count_ = count;
  spares.prepare_ = std::move(prepare);
  spares.work_ = std::move(work);
  spares.taken_read_ = Fd(ends[0]);
  spares.taken_write_ = Fd(ends[1]);
  return spares;
}

Status Spares::Fill() {
  const pid_t daemon = getpid();
  while (missing()) {
    const pid_t worker = fork();
    if (worker < 0) return Status::Errno("fork a worker");
    if (worker == 0) BeWorker(daemon);
    waiting_.insert(worker);
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
  Fd client;
  do {
    client = Fd(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
  } while (!client.ok() && (errno == EINTR || errno == ECONNABORTED));
  if (!client.ok()) _exit(1);
  const pid_t self = getpid();
  if (write(taken_write_.get(), &self, sizeof self) != sizeof self) _exit(1);
  taken_write_.Reset();
  close(listener_);
  work_(std::move(client));
  _exit(0);
}

void Spares::OnTaken() {
  pid_t worker;
  while (read(taken_read_.get(), &worker, sizeof worker) == sizeof worker) waiting_.erase(worker);
}

bool Spares::OnDeath(pid_t worker) {
  // One that had a client and is gone must not count as a spare that died.
  OnTaken();
  return waiting_.erase(worker) > 0;
}

void Spares::Leave() {
  close(listener_);
  taken_read_.Reset();
  taken_write_.Reset();
}

}  // namespace usetl
