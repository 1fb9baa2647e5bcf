#include "cri/client/interrupts.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

namespace usetl::cri {
namespace {

sigset_t Taken() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Interrupts::Interrupts(std::string left) : left_(std::move(left)) {
  const sigset_t set = Taken();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { Take(); });
}

Interrupts::~Interrupts() {
  done_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);  // it waits for one
  thread_.join();
}

void Interrupts::Take() {
  const sigset_t set = Taken();
  for (bool interrupted = false;;) {
    int signal = 0;
    sigwait(&set, &signal);
    if (done_) return;
    if (signal == SIGINT && interrupted) {
      std::fprintf(stderr, "usetl: %s\n", left_.c_str());
      _exit(128 + SIGINT);
    }
    interrupted = interrupted || signal == SIGINT;
    const std::lock_guard lock(mutex_);
    if (signal_ == 0) signal_ = signal;
    if (call_ != nullptr) call_->TryCancel();
  }
}

Interrupts::Open::Open(Interrupts* interrupts, grpc::ClientContext* call)
    : interrupts_(interrupts) {
  const std::lock_guard lock(interrupts_->mutex_);
  interrupts_->call_ = call;
  if (interrupts_->signal_ != 0) call->TryCancel();
}

Interrupts::Open::~Open() {
  const std::lock_guard lock(interrupts_->mutex_);
  interrupts_->call_ = nullptr;
}

}  // namespace usetl::cri
