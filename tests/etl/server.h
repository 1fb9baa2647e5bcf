// server.h: scripted HTTP servers on 127.0.0.1, free to misbehave.
#ifndef USETL_TESTS_ETL_SERVER_H_
#define USETL_TESTS_ETL_SERVER_H_

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "vmm/base/fd.h"

namespace usetl::test {

// One accepted connection: plain, or TLS when the server has a certificate.
class Connection {
 public:
  virtual ~Connection() = default;
  // As many bytes as are there; empty at the end.
  virtual std::string Read() = 0;
  // False: the peer is gone.
  virtual bool Send(std::string_view bytes) = 0;

  // The head of the next request with its empty line; empty at the end.
  std::string ReadHead();
  // The body of the request with that head: by Content-Length or chunked.
  std::string ReadBody(const std::string& head);
  // What ReadHead() took too much, else as Read().
  std::string ReadNext();

 private:
  bool Fill(size_t size);
  std::string buffer_;
};

// A certificate chain to show, as PEM files.
struct ServerTls {
  std::string certificate;
  std::string key;
};

// Calls `serve` in a thread of its own for every connection; closes the connection afterwards.
class Server {
 public:
  using Serve = std::function<void(Connection&)>;
  explicit Server(Serve serve, const ServerTls* tls = nullptr);
  ~Server();

  uint16_t port() const { return port_; }
  std::string Url(std::string_view path = "/") const;
  std::string Origin() const { return Url(""); }
  int connections() const { return connections_; }
  // True once the server is being destroyed: long-running scripts end then.
  bool stopping() const { return stopping_; }

 private:
  void Accept();
  void Run(int fd);

  Serve serve_;
  void* tls_ = nullptr;  // SSL_CTX
  Fd listener_;
  uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::vector<int> sockets_;
  std::thread acceptor_;
};

// A server script for well-behaved keep-alive servers: head and body in, full answer out.
Server::Serve Answering(
    std::function<std::string(const std::string& head, const std::string& body)>);
// "HTTP/1.1 STATUS\r\nContent-Length...", head lines and body.
std::string Reply(std::string_view status, std::string_view body, std::string_view headers = "");
// The value of a header of a request's head, empty when there is none.
std::string HeaderOf(const std::string& head, std::string_view name);

}  // namespace usetl::test

#endif  // USETL_TESTS_ETL_SERVER_H_
