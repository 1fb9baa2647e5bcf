// h2_server.h: nghttpd, an HTTP/2 server that speaks nothing else, as a child process.
#ifndef USETL_TESTS_ETL_H2_SERVER_H_
#define USETL_TESTS_ETL_H2_SERVER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/etl/server.h"

namespace usetl::test {

// Serves the files of `directory` over TLS and sends uploads back.
class H2Server {
 public:
  H2Server(const std::string& directory, const ServerTls& tls);
  ~H2Server();
  H2Server(const H2Server&) = delete;
  H2Server& operator=(const H2Server&) = delete;

  // False: it did not start; nghttpd is in Debian's nghttp2-server.
  bool running() const { return running_; }
  std::string Url(std::string_view path = "/") const;

 private:
  uint16_t port_ = 0;
  pid_t pid_ = -1;
  bool running_ = false;
};

}  // namespace usetl::test

#endif  // USETL_TESTS_ETL_H2_SERVER_H_
