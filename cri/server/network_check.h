// network_check.h: whether pods that a usetld finds are still attached as they were made.
//
// Between its end and its next start somebody may have taken a bridge or an address away, which
// plugins tell by CHECK. Nothing follows from it here: pods go on, and people are told.
#ifndef USETL_CRI_SERVER_NETWORK_CHECK_H_
#define USETL_CRI_SERVER_NETWORK_CHECK_H_

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cri/network/cni.h"
#include "records.pb.h"

namespace usetl::cri {

// Thread-safe. Asks one pod's plugins after another in a thread of its own, which is there while
// there is something to ask; no call waits for it but Leave(), for a moment.
class NetworkCheck {
 public:
  // `cni` must outlive this.
  explicit NetworkCheck(const Cni* cni) : cni_(*cni) {}
  ~NetworkCheck();
  NetworkCheck(const NetworkCheck&) = delete;
  NetworkCheck& operator=(const NetworkCheck&) = delete;

  // Those of `pods` that are attached. Once.
  void Begin(std::deque<std::shared_ptr<const SandboxRecord>> pods);
  // The pod's network is about to be taken down: its plugins are not asked, and those that are just
  // asked are killed, for calls for one pod must not overlap. What was found out is forgotten.
  void Leave(const std::string& pod);
  // None: nobody was asked, or not yet. Empty: all is well. Else what is not, in one line.
  std::optional<std::string> Found(const std::string& pod) const;

 private:
  void Run();

  const Cni& cni_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<const SandboxRecord>> waiting_;
  std::string checking_;    // the pod whose plugins run; empty: none
  bool cancelled_ = false;  // of that one
  std::map<std::string, std::string> found_;
  std::thread thread_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_NETWORK_CHECK_H_
