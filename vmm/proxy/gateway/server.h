// server.h: HTTP/1.1 and h2c (HTTP/2 without TLS) on the ports of a container.
//
// Requests go to a Backend when they are complete, or, if it streams, before their body is; answers
// come back by the request's number, in any order. Single-threaded, never blocks: the owner polls
// poll_fd() and calls OnReady(). All methods of the Backend are called from within OnReady(),
// answers may be given at any time, also from within Submit().
#ifndef USETL_VMM_PROXY_GATEWAY_SERVER_H_
#define USETL_VMM_PROXY_GATEWAY_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/gateway/counters.h"
#include "vmm/proxy/gateway/request.h"

namespace usetl::gateway {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual void Submit(uint64_t id, Request request) = 0;
  // The client is gone: answers to `id` are ignored from now on.
  virtual void Cancel(uint64_t id) = 0;
  // AnswerData() has returned false, and there is room again.
  virtual void OnRoom(uint64_t id) = 0;
  // More of a body that follows, and its end; a client that breaks it off cancels the request.
  // BodyTaken() says when the bytes are used: a client has 64 kB under way (in HTTP/2 256 kB).
  virtual void OnBody(uint64_t id, std::string_view bytes) = 0;
  virtual void OnBodyEnd(uint64_t id) = 0;
};

struct Options {
  using Milliseconds = std::chrono::milliseconds;
  uint32_t max_connections = 1000;
  bool stream_bodies = false;         // those of unknown size, or of more than 64 kB
  uint64_t max_body = 16 << 20;       // of one request that is not streamed
  uint64_t max_buffered = 64 << 20;   // bodies of requests and unsent answers, of all connections
  Milliseconds header_limit{10'000};  // from a request's first byte to the end of its header
  Milliseconds body_idle{30'000};     // between two pieces of a body
  uint64_t body_rate = 1 << 10;       // bytes of one a second on the average, after body_idle
  Milliseconds keep_alive{75'000};    // between two requests
  Milliseconds write_stall{30'000};   // a client that takes nothing
};

// Builds tables that all servers read (16 kB), for a process that forks those who serve.
void WarmUp();

class Core;

class Server {
 public:
  // `backend` outlives the server.
  static Result<std::unique_ptr<Server>> Create(const Options& options, Backend* backend);
  // Closes all connections; the backend hears nothing more.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Starts to listen on bound stream sockets.
  Status Listen(std::vector<Fd> sockets);
  // Closes the listening sockets; connections stay.
  void StopListening();
  // Serves a connected stream socket, made non-blocking here.
  Status Adopt(Fd socket, Endpoint client, Endpoint server);

  // Readable when OnReady() has something to do.
  int poll_fd() const;
  void OnReady();

  // `size`: of the body, when it is known. Without it the body is streamed: AnswerData() is sent
  // at once. Unknown numbers are ignored by all of these.
  void Answer(uint64_t id, AnswerHead head, std::optional<uint64_t> size);
  // False: the client is slow; OnRoom() says when to go on. The bytes were taken all the same.
  bool AnswerData(uint64_t id, std::string_view bytes);
  void AnswerEnd(uint64_t id);
  // The backend has used so much of what OnBody(), or the request itself, brought.
  void BodyTaken(uint64_t id, uint64_t bytes);
  // A short answer {"error": TEXT, "requestId": ID}; after Answer() the connection (the stream in
  // HTTP/2) is broken off instead, so that the client sees that the body is not complete.
  void AnswerError(uint64_t id, int status, std::string_view text);

  // StopListening(), then connections end with the requests that are under way; what is left at
  // `limit` is cut off.
  void Drain(std::chrono::milliseconds limit);
  // No listener and no connection is left.
  bool closed() const;

  const Counters& counters() const;

 private:
  explicit Server(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_SERVER_H_
