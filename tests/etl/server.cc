#include "tests/etl/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/socket.h>

#include <cstdlib>
#include <utility>

namespace usetl::test {
namespace {

class PlainConnection : public Connection {
 public:
  explicit PlainConnection(int fd) : fd_(fd) {}
  std::string Read() override {
    std::string bytes(64 << 10, '\0');
    const ssize_t n = recv(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }
  bool Send(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

 private:
  int fd_;
};

class TlsConnection : public Connection {
 public:
  TlsConnection(SSL_CTX* context, int fd) : ssl_(SSL_new(context)) {
    SSL_set_fd(ssl_, fd);
    accepted_ = SSL_accept(ssl_) == 1;
  }
  ~TlsConnection() override {
    if (accepted_) SSL_shutdown(ssl_);
    SSL_free(ssl_);
  }
  bool accepted() const { return accepted_; }
  std::string Read() override {
    std::string bytes(64 << 10, '\0');
    const int n = SSL_read(ssl_, bytes.data(), static_cast<int>(bytes.size()));
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }
  bool Send(std::string_view bytes) override {
    return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0;
  }

 private:
  SSL* ssl_;
  bool accepted_ = false;
};

}  // namespace

bool Connection::Fill(size_t size) {
  while (buffer_.size() < size) {
    const std::string more = Read();
    if (more.empty()) return false;
    buffer_ += more;
  }
  return true;
}

std::string Connection::ReadHead() {
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill(buffer_.size() + 1)) return {};
  }
  std::string head = buffer_.substr(0, end + 4);
  buffer_.erase(0, end + 4);
  return head;
}

std::string Connection::ReadNext() { return buffer_.empty() ? Read() : std::exchange(buffer_, {}); }

std::string Connection::ReadBody(const std::string& head) {
  const auto take = [&](size_t size) {
    if (!Fill(size)) size = buffer_.size();
    std::string bytes = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return bytes;
  };
  if (HeaderOf(head, "Transfer-Encoding") != "chunked") {
    return take(std::strtoull(HeaderOf(head, "Content-Length").c_str(), nullptr, 10));
  }
  std::string body;
  for (;;) {
    size_t end;
    while ((end = buffer_.find("\r\n")) == std::string::npos) {
      if (!Fill(buffer_.size() + 1)) return body;
    }
    const size_t size = std::strtoull(buffer_.c_str(), nullptr, 16);
    buffer_.erase(0, end + 2);
    body += take(size);
    take(2);
    if (size == 0) return body;
  }
}

Server::Server(Serve serve, const ServerTls* tls) : serve_(std::move(serve)) {
  if (tls != nullptr) {
    SSL_CTX* context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_chain_file(context, tls->certificate.c_str());
    SSL_CTX_use_PrivateKey_file(context, tls->key.c_str(), SSL_FILETYPE_PEM);
    tls_ = context;
  }
  listener_ = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_.get(), 128) != 0 ||
      getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

Server::~Server() {
  stopping_ = true;
  shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : sockets_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  for (const int fd : sockets_) close(fd);
  SSL_CTX_free(static_cast<SSL_CTX*>(tls_));
}

std::string Server::Url(std::string_view path) const {
  return std::string(tls_ != nullptr ? "https" : "http") + "://127.0.0.1:" + std::to_string(port_) +
         std::string(path);
}

void Server::Accept() {
  for (;;) {
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(fd);
    threads_.emplace_back([this, fd] { Run(fd); });
  }
}

// The descriptor stays open until the server goes, so that no other one takes its number.
void Server::Run(int fd) {
  if (tls_ == nullptr) {
    PlainConnection connection(fd);
    serve_(connection);
  } else if (TlsConnection connection(static_cast<SSL_CTX*>(tls_), fd); connection.accepted()) {
    serve_(connection);
  }
  shutdown(fd, SHUT_RDWR);
}

Server::Serve Answering(
    std::function<std::string(const std::string& head, const std::string& body)> answer) {
  return [answer = std::move(answer)](Connection& connection) {
    for (;;) {
      const std::string head = connection.ReadHead();
      if (head.empty()) return;
      const std::string body = connection.ReadBody(head);
      if (!connection.Send(answer(head, body))) return;
    }
  };
}

std::string Reply(std::string_view status, std::string_view body, std::string_view headers) {
  std::string reply = "HTTP/1.1 ";
  reply.append(status).append("\r\nContent-Length: ").append(std::to_string(body.size()));
  reply.append("\r\n").append(headers).append("\r\n").append(body);
  return reply;
}

std::string HeaderOf(const std::string& head, std::string_view name) {
  size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    const size_t end = head.find("\r\n", at + 2);
    const std::string line = head.substr(at + 2, end - at - 2);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        strncasecmp(line.data(), name.data(), name.size()) == 0) {
      const size_t value = line.find_first_not_of(' ', name.size() + 1);
      return value == std::string::npos ? "" : line.substr(value);
    }
    at = end;
  }
  return {};
}

}  // namespace usetl::test
