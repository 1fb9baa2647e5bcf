// server.h: the HTTP server that kubelet sends the clients of exec, attach and port-forward to.
//
// A thread for each connection, so many at most; another one accepts.
#ifndef USETL_CRI_STREAMING_SERVER_H_
#define USETL_CRI_STREAMING_SERVER_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cri/streaming/handshake.h"
#include "cri/streaming/process.h"
#include "cri/streaming/session.h"
#include "cri/streaming/tokens.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri::streaming {

inline constexpr int kMaxSessions = 64;
inline constexpr int kMaxHandshakes = 64;  // connections that have not shown a token yet

// What the streams lead to. Called on the server's threads, many at a time.
struct Backend {
  std::function<Result<std::unique_ptr<Process>>(const std::string& container,
                                                 const ProcessRequest& request)>
      launch;
  // A TCP socket of `family` in the pod's network, not connected.
  std::function<Result<Fd>(const std::string& sandbox, int family)> open_socket;
};

// Thread-safe.
class Server {
 public:
  // `address`: HOST:PORT, a loopback address; port 0 is any. `log` gets a line about a connection
  // that did not end well.
  static Result<std::unique_ptr<Server>> Start(const std::string& address, Backend backend,
                                               std::function<void(const std::string&)> log,
                                               const Timers& timers = {});
  // Ends all connections, and with them their programs.
  ~Server();

  // The URL at which a client gets its streams, once, within a minute. EAGAIN: too many wait.
  Result<std::string> Expect(StreamRequest request);
  const std::string& base_url() const { return base_url_; }

 private:
  Server(Backend backend, std::function<void(const std::string&)> log, const Timers& timers)
      : backend_(std::move(backend)), log_(std::move(log)), timers_(timers) {}

  void Accept();
  void Serve(Fd socket);
  // Reads up to the empty line; what came after it stays in `rest`. Not ok: nothing to answer.
  Result<std::string> ReadHead(int socket, std::string* rest);
  // Not refused: it is counted as a session, and `request` is set.
  Handshake Greet(const std::string& head, std::optional<StreamRequest>* request);
  Status RunSession(Fd socket, const StreamRequest& request, const Handshake& handshake,
                    std::string_view early);
  bool CountIn(int* count, int most);
  void CountOut(int* count);

  const Backend backend_;
  const std::function<void(const std::string&)> log_;
  const Timers timers_;
  Tokens tokens_;
  std::string base_url_;
  Fd listener_, stop_;
  std::mutex mutex_;
  std::condition_variable ended_;
  int handshakes_ = 0, sessions_ = 0, threads_ = 0;
  std::thread accept_;
};

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_SERVER_H_
