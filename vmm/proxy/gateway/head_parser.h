// head_parser.h: the head of an HTTP/1 request, taken apart by Boost.Beast under our rules.
//
// Beast reads the whole head in one call, so that no state of its parser outlives it; bodies are
// read by http1.h and chunk_decoder.h. Stricter than Beast: no folded lines, one Host, one kind of
// framing, `chunked` alone.
#ifndef USETL_VMM_PROXY_GATEWAY_HEAD_PARSER_H_
#define USETL_VMM_PROXY_GATEWAY_HEAD_PARSER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/proxy/gateway/request.h"

namespace usetl::gateway {

struct RequestHead {
  Request request;  // without body; hop-by-hop headers are left out
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;
  // "Upgrade: h2c" as RFC 7540 3.2 wants it: the value of HTTP2-Settings.
  std::optional<std::string> h2c_settings;
};

// `head` ends with the empty line. Returns 0, or the status to refuse the request with.
int ParseHead(std::string_view head, RequestHead* to);

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_HEAD_PARSER_H_
