// gateway_world.h: a gateway with a backend of the test's, and clients on socket pairs. Nothing
// waits for another thread: what was sent is there when Turn() looks.
#ifndef USETL_TESTS_UNIT_GATEWAY_WORLD_H_
#define USETL_TESTS_UNIT_GATEWAY_WORLD_H_

#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/proxy/gateway/server.h"

namespace usetl::test {

struct FakeBackend : gateway::Backend {
  void Submit(uint64_t id, gateway::Request request) override {
    ids.push_back(id);
    requests.push_back(std::move(request));
    if (on_submit) on_submit(id, requests.back());
  }
  void Cancel(uint64_t id) override { cancelled.push_back(id); }
  void OnRoom(uint64_t id) override { room.push_back(id); }
  void OnBody(uint64_t id, std::string_view bytes) override { bodies[id] += bytes; }
  void OnBodyEnd(uint64_t id) override { ended.push_back(id); }

  std::function<void(uint64_t id, const gateway::Request& request)> on_submit;
  std::vector<uint64_t> ids, cancelled, room, ended;
  std::map<uint64_t, std::string> bodies;  // what came behind the requests
  std::vector<gateway::Request> requests;
};

class GatewayClient {
 public:
  explicit GatewayClient(Fd socket) : socket_(std::move(socket)) {}
  int fd() const { return socket_.get(); }
  // How much the socket took.
  size_t Send(std::string_view bytes) {
    const ssize_t sent =
        send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
  }
  // What has come.
  std::string Receive() {
    std::string all;
    char buffer[16 << 10];
    for (;;) {
      const ssize_t size = recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (size == 0) ended_ = true;
      if (size <= 0) return all;
      all.append(buffer, size);
    }
  }
  // The gateway has closed its side; known after Receive().
  bool ended() const { return ended_; }
  void Close() { socket_.Reset(); }

 private:
  Fd socket_;
  bool ended_ = false;
};

struct GatewayWorld {
  explicit GatewayWorld(const gateway::Options& options = {}) {
    auto made = gateway::Server::Create(options, &backend);
    if (made.ok()) server = std::move(*made);
  }

  GatewayClient Connect() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) abort();
    if (!server->Adopt(Fd(pair[0]), {"192.0.2.1", 1234}, {"192.0.2.2", 8080}).ok()) abort();
    return GatewayClient(Fd(pair[1]));
  }
  // Until the gateway has nothing to do.
  void Turn() {
    pollfd ready{server->poll_fd(), POLLIN, 0};
    while (poll(&ready, 1, 0) > 0) server->OnReady();
  }
  // Until the gateway closes the client's connection, by a time limit of its own.
  std::string RunUntilClosed(GatewayClient* client) {
    std::string all;
    pollfd ready{server->poll_fd(), POLLIN, 0};
    while (!client->ended() && poll(&ready, 1, 60'000) > 0) {
      server->OnReady();
      all += client->Receive();
    }
    return all;
  }
  std::string Exchange(GatewayClient* client, std::string_view request) {
    client->Send(request);
    Turn();
    return client->Receive();
  }
  // Answers each request at once with its body, or its path when there is none.
  void Echo() {
    backend.on_submit = [this](uint64_t id, const gateway::Request& request) {
      Answer(id, request.body.empty() ? request.path : request.body);
    };
  }
  void Answer(uint64_t id, std::string_view body, int status = 200) {
    server->Answer(id, {status, {{"content-type", "text/plain"}}}, body.size());
    server->AnswerData(id, body);
    server->AnswerEnd(id);
  }

  FakeBackend backend;
  std::unique_ptr<gateway::Server> server;
};

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_GATEWAY_WORLD_H_
