// pod_runner.h: a pod from its start to its end, over the CRI, as a person at a terminal sees it.
#ifndef USETL_CRI_CLIENT_POD_RUNNER_H_
#define USETL_CRI_CLIENT_POD_RUNNER_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cri/client/call.h"
#include "cri/client/interrupts.h"
#include "cri/client/log_printer.h"
#include "cri/client/manifest.h"
#include "runtime.grpc.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

class PodRunner {
 public:
  // `socket`: of usetld, or any other server of the CRI. `interrupts` outlives this.
  PodRunner(const std::string& socket, PodManifest manifest, Interrupts* interrupts);

  // Pulls what is missing, runs init containers to their end, starts the others. An error when a
  // signal has come meanwhile; what was made is Remove()'s.
  Status Start();
  // Prints what containers print until all have ended, or a signal comes. The exit code of the
  // first that failed, else 0.
  Result<int> Follow();
  // Ends what runs and removes the pod with its emptyDirs.
  Status Remove();

  // What a Start() that failed is to end the command with: the exit code of the init container that
  // was the reason, else 1.
  int failure() const { return failure_; }
  const std::string& pod() const { return pod_; }
  const std::string& address() const { return address_; }  // may be empty
  const std::string& network_namespace() const { return namespace_; }

 private:
  // How `usetl image` is told the node's store: an option with a blank before it, or nothing.
  std::string StoreOption();
  // EEXIST while a pod of this name runs: a cluster has one of each, and --remove ends them all.
  Status RefuseSecond();
  Status EnsureImage(PodManifest::Container* container);
  Result<std::string> StartContainer(PodManifest::Container* container);
  // A call that a signal ends.
  template <typename Stub, typename Method, typename Request, typename Response>
  Status Ask(Stub* stub, Method method, const char* name, const Request& request,
             Response* response, std::chrono::minutes patience = kPatience);
  Result<v1::ContainerStatus> StatusOf(const std::string& container);
  Result<int> WaitForExit(const std::string& container, LogPrinter* log);

  const std::string socket_;
  Interrupts& interrupts_;
  PodManifest manifest_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RuntimeService::Stub> runtime_;
  std::unique_ptr<v1::ImageService::Stub> images_;
  std::string pod_, address_, namespace_;
  int failure_ = 1;
  struct Running {
    std::string id;
    LogPrinter log;
  };
  std::vector<Running> running_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_POD_RUNNER_H_
