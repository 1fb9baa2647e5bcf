// name_resolver.h: names as a pod has them, in place of those of the machine.
//
// libcurl would ask the machine's name servers. Here c-ares asks those of the pod, without threads.
#ifndef USETL_VMM_PROXY_ETL_NAME_RESOLVER_H_
#define USETL_VMM_PROXY_ETL_NAME_RESOLVER_H_

#include <ares.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/etl/name_config.h"

namespace usetl::etl {

// Single-threaded, never blocks.
class NameResolver {
 public:
  // ENOENT: no such name; ETIMEDOUT: no server answers as it should; EAGAIN: too much is asked at
  // once.
  using Addresses = Result<std::vector<std::string>>;
  using Done = std::function<void(const Addresses&)>;

  static Result<std::unique_ptr<NameResolver>> Create(NameConfig config);
  ~NameResolver();
  NameResolver(const NameResolver&) = delete;
  NameResolver& operator=(const NameResolver&) = delete;

  // Readable when OnReady() has work; an epoll descriptor.
  int fd() const { return epoll_.get(); }
  void OnReady();

  // Whether the name is one for this; others are libcurl's: addresses, and all names but those of
  // the hosts file where the pod names no servers.
  bool Knows(const std::string& host) const;
  // Calls `done` once, perhaps at once; returns a number for Cancel(), 0 when it has. No search
  // domain is put behind a `host` that ends in a dot.
  uint64_t Lookup(const std::string& host, Done done);
  // How long a name may take: until each server was asked as often as the pod wants.
  uint64_t patience_ns() const { return patience_ns_; }
  // `done` is not called any more. The question itself goes on.
  void Cancel(uint64_t lookup) { open_.erase(lookup); }

 private:
  struct Known {
    std::vector<std::string> addresses;
    uint64_t until;  // NowNs()
  };
  struct Question;

  explicit NameResolver(NameConfig config) : config_(std::move(config)) {}
  Status Start();
  static void OnSocket(void* self, ares_socket_t socket, int readable, int writable);
  static void OnAnswer(void* question, int status, int timeouts, ares_addrinfo* found);
  Addresses Take(const std::string& host, int status, const ares_addrinfo* found);
  // To when c-ares wants to be called without an event.
  void Arm();

  const NameConfig config_;
  ares_channel channel_ = nullptr;
  Fd epoll_, timer_;
  uint64_t patience_ns_ = 0;
  uint64_t last_lookup_ = 0;
  uint32_t asked_ = 0;  // questions that c-ares has, wanted or not
  std::map<uint64_t, Done> open_;
  std::map<std::string, Known> known_;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_NAME_RESOLVER_H_
