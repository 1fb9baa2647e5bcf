// request.h: what a client asks and what a function answers, free of HTTP's framing.
#ifndef USETL_VMM_PROXY_GATEWAY_REQUEST_H_
#define USETL_VMM_PROXY_GATEWAY_REQUEST_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace usetl::gateway {

// Names in lower case, values as bytes.
using Headers = std::vector<std::pair<std::string, std::string>>;

struct Endpoint {
  std::string address;  // as text; empty: unknown
  uint16_t port = 0;
};

// A request. Headers that belong to the connection are left out.
struct Request {
  std::string method, path, query;  // path percent-encoded as it came, query without '?'
  Headers headers;
  std::string body;
  bool body_follows = false;  // `body` is only its beginning; Backend::OnBody() has the rest
  std::string scheme = "http", http_version = "1.1", request_id;
  Endpoint client, server;
};

struct AnswerHead {
  int status = 200;  // 200 to 599
  Headers headers;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_REQUEST_H_
