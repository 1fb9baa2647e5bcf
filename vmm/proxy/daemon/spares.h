// spares.h: workers forked ahead: each waits for one client of its own.
//
// A fork of the daemon costs more than many functions run; nobody waits for it when it happened
// before. A spare has read nothing, so it may still be root; it drops its privileges once it has a
// client and before it reads what that sent.
#ifndef USETL_VMM_PROXY_DAEMON_SPARES_H_
#define USETL_VMM_PROXY_DAEMON_SPARES_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <unordered_set>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl {

class Spares {
 public:
  // Runs in a worker's process, with its client; never returns. No two that live have one number.
  using Work = std::function<void(Fd client, uint32_t number)>;
  // Runs in a worker's process before it has a client: whatever can be done ahead.
  using Prepare = std::function<void()>;

  // `listener`: where clients connect; not owned, closed in workers that have one. `count`: how
  // many wait. `numbers`: how many there are, from 0.
  static Result<Spares> Create(int listener, size_t count, uint32_t numbers, Prepare prepare,
                               Work work);

  // Forks what is missing. EAGAIN: all numbers are in use.
  Status Fill();
  // The next client would have to wait for a fork.
  bool empty() const { return waiting_.empty(); }
  bool missing() const { return waiting_.size() < count_; }
  // Readable when workers have taken clients.
  int poll_fd() const { return taken_read_.get(); }
  void OnTaken();
  // A process was reaped. True: it was one of these and died before it had a client.
  bool OnDeath(pid_t worker);
  // In a worker of others: lets go of the clients of these.
  void Leave();

 private:
  Spares() = default;
  [[noreturn]] void BeWorker(pid_t daemon);

  int listener_ = -1;
  size_t count_ = 0;
  Prepare prepare_;
  Work work_;
  Fd taken_read_, taken_write_;  // a worker that has a client writes its number
  std::set<pid_t> waiting_;
  uint32_t numbers_ = 0;
  uint32_t number_ = 0;               // the last that was given out
  std::map<pid_t, uint32_t> living_;  // numbers of all workers, until they are reaped
  std::unordered_set<uint32_t> in_use_;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_DAEMON_SPARES_H_
