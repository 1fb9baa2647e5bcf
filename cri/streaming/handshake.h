// handshake.h: the HTTP request that a stream starts with, and which protocol it gets.
#ifndef USETL_CRI_STREAMING_HANDSHAKE_H_
#define USETL_CRI_STREAMING_HANDSHAKE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cri/streaming/tokens.h"
#include "vmm/base/status.h"

namespace usetl::cri::streaming {

inline constexpr size_t kMaxRequestHead = 16 << 10;

struct HttpHead {
  std::string method;
  std::string path;                                         // without the query
  std::map<std::string, std::vector<std::string>> headers;  // names lower case

  // Elements of comma-separated values.
  std::vector<std::string> List(const std::string& name) const;
};

// `text` up to and with the empty line. EPROTO.
Result<HttpHead> ParseHead(std::string_view text);

struct Handshake {
  enum class Transport { kRefused, kSpdy, kChannels, kTunnel };
  Transport transport = Transport::kRefused;
  bool signals = false;  // kChannels: v5
  std::string response;  // the whole of it
};

// As Kubernetes' own servers answer: 400 for what is no upgrade, 403 for unknown protocols.
Handshake Negotiate(const HttpHead& head, StreamRequest::Kind kind);
// An answer that ends the connection. `headers` are whole lines.
std::string HttpError(int code, std::string_view reason, std::string_view text,
                      std::string_view headers = "");

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_HANDSHAKE_H_
