// server.h: the way in: HTTP/1.1 on the ports of a container.
//
// Single-threaded, never blocks. Each connection has one request under way; more wait in its
// buffer (pipelining). What comes from the network is hostile: see Limits, and connection.cc for
// what is refused.
#ifndef USETL_VMM_PROXY_GATEWAY_SERVER_H_
#define USETL_VMM_PROXY_GATEWAY_SERVER_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/invoker.h"

namespace usetl::gateway {

struct Limits {
  size_t connections = 1000;
  size_t header_bytes = 32 << 10;  // of a request line and all fields
  size_t fields = 100;
  size_t target_bytes = 8 << 10;
  size_t body_bytes = 16 << 20;
  size_t unsent_bytes = 1 << 20;  // of an answer; beyond it the function waits
  std::chrono::seconds header_time{10};
  std::chrono::seconds body_pause{30};   // without a byte of the body
  std::chrono::seconds idle_time{75};    // between two requests
  std::chrono::seconds write_pause{30};  // without a byte that the client takes
};

// Where requests go. Submit may answer the sink before it returns; the number is for Cancel.
struct Backend {
  std::function<uint64_t(pod::HttpCall call, std::unique_ptr<pod::AnswerSink> sink)> submit;
  std::function<void(uint64_t number)> cancel;
};

class Connection;

class Server {
 public:
  using Clock = std::chrono::steady_clock;

  static Result<std::unique_ptr<Server>> Create(Limits limits, Backend backend);
  ~Server();

  // Takes clients of these listening sockets, which stay the caller's and outlive StopListening().
  Status Listen(std::span<const Fd> sockets);
  // Takes no further client; requests that are here are answered, then their connections close.
  void StopListening();

  // Readable when OnReady() has something to do.
  int poll_fd() const { return epoll_.get(); }
  void OnReady();
  // Goes on with connections whose answer has ended. Call after anything that may have ended one.
  void Turn();
  // A client takes its answer too slowly: take no further bytes from the function.
  bool Congested() const;
  // When CheckDeadlines() has something to do; none without connections.
  std::optional<Clock::time_point> deadline() const;
  void CheckDeadlines();

  size_t connections() const { return connections_.size(); }

 private:
  friend class Connection;

  Server(Limits limits, Backend backend) : limits_(limits), backend_(std::move(backend)) {}
  void Accept(int listener);
  void Watch(Connection* connection, bool write);
  void Close(int fd);

  const Limits limits_;
  const Backend backend_;
  Fd epoll_;
  std::vector<int> listeners_;
  std::map<int, std::shared_ptr<Connection>> connections_;  // by descriptor
  std::vector<std::weak_ptr<Connection>> turn_;             // that may go on
  Clock::time_point next_check_ = Clock::time_point::max();
  bool draining_ = false;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_SERVER_H_
