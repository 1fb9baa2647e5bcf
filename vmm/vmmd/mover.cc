#include "vmm/vmmd/mover.h"

#include <sys/eventfd.h>

#include <string>
#include <utility>

#include "vmm/base/thread.h"

namespace usetl {
namespace {

Status Carry(const CgroupMove& move) {
  const std::string process = std::to_string(move.process);
  for (const Fd& file : *move.files) {
    if (move.cancelled) break;  // others wait
    // ESRCH: it has ended, which its socket tells.
    if (write(file.get(), process.data(), process.size()) >= 0 || errno == ESRCH) continue;
    return Status::Errno("moving a USF into it");
  }
  return Status();
}

}  // namespace

Result<std::unique_ptr<Mover>> Mover::Start() {
  Fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.ok()) return Status::Errno("eventfd");
  std::unique_ptr<Mover> mover(new Mover(std::move(event)));
  Result<std::thread> thread = StartThread([raw = mover.get()] { raw->Run(); });
  if (!thread.ok()) return thread.status();
  mover->thread_ = std::move(*thread);
  return mover;
}

Mover::~Mover() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Mover::Add(std::shared_ptr<CgroupMove> move) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(move));
  }
  changed_.notify_all();
}

std::vector<std::shared_ptr<CgroupMove>> Mover::TakeOver() {
  uint64_t count;
  (void)!read(event_.get(), &count, sizeof count);  // EAGAIN: nothing is over
  const std::lock_guard lock(mutex_);
  return std::exchange(over_, {});
}

void Mover::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
    if (ended_) return;
    const std::shared_ptr<CgroupMove> move = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    move->begun = std::chrono::steady_clock::now();
    move->status = Carry(*move);
    lock.lock();
    over_.push_back(move);
    const uint64_t one = 1;
    (void)!write(event_.get(), &one, sizeof one);  // cannot be full
  }
}

}  // namespace usetl
