// interrupts.h: signals that ask a command to end, whatever answer it waits for.
#ifndef USETL_CRI_CLIENT_INTERRUPTS_H_
#define USETL_CRI_CLIENT_INTERRUPTS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

namespace usetl::cri {

// From its making on SIGINT, SIGTERM and SIGHUP are taken by a thread of its own. The first makes
// calls give up that are open to it. A second SIGINT ends the process, for somebody who will not
// wait: with a line that says what is left. timeout(1) sends two SIGTERMs, to the process and to
// its group, which is one wish.
class Interrupts {
 public:
  // `left`: that line. REQUIRES: this process has no other thread.
  explicit Interrupts(std::string left);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // The first that came; 0: none has.
  int signal() const { return signal_; }

  // While it lives, a signal makes the call give up; one that came before does so at once.
  class Open {
   public:
    Open(Interrupts* interrupts, grpc::ClientContext* call);
    ~Open();
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    Interrupts* const interrupts_;
  };

 private:
  void Take();

  const std::string left_;
  std::atomic<int> signal_{0};
  std::atomic<bool> done_{false};
  std::mutex mutex_;
  grpc::ClientContext* call_ = nullptr;  // that is open to a signal
  std::thread thread_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_INTERRUPTS_H_
