// front.h: the gateway of a container: requests from its ports to its function, answers back.
#ifndef USETL_VMM_PROXY_POD_FRONT_H_
#define USETL_VMM_PROXY_POD_FRONT_H_

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "vmm/proxy/gateway/server.h"
#include "vmm/proxy/pod/invoker.h"

namespace usetl::pod {

class Front final : public gateway::Backend {
 public:
  // `invoker` outlives this. `ports` are bound; they listen from here on.
  // `streams`: the function takes bodies in pieces.
  static Result<std::unique_ptr<Front>> Open(std::vector<Fd> ports, Invoker* invoker, bool streams);
  ~Front() override;

  int poll_fd() const { return server_->poll_fd(); }
  void OnReady() { server_->OnReady(); }
  // A client takes its answer too slowly: take no further bytes from the function.
  bool Congested() const { return !slow_.empty(); }
  const gateway::Counters& counters() const { return server_->counters(); }
  // Takes no further client; what is under way is answered.
  void Drain(std::chrono::milliseconds limit) { server_->Drain(limit); }

  void Submit(uint64_t id, gateway::Request request) override;
  void Cancel(uint64_t id) override;
  void OnRoom(uint64_t id) override { slow_.erase(id); }
  void OnBody(uint64_t id, std::string_view bytes) override;
  void OnBodyEnd(uint64_t id) override;

 private:
  class Sink;

  explicit Front(Invoker* invoker) : invoker_(invoker) {}

  Invoker* const invoker_;
  std::unique_ptr<gateway::Server> server_;
  std::map<uint64_t, uint64_t> calls_;  // of the gateway's requests: their numbers at the invoker
  std::set<uint64_t> slow_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_FRONT_H_
