#include "cri/streaming/handshake.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "cri/streaming/websocket_frames.h"

namespace usetl::cri::streaming {
namespace {

constexpr const char* kVersionHeader = "X-Stream-Protocol-Version";
constexpr std::string_view kTunnelPrefix = "SPDY/3.1+";

using Kind = StreamRequest::Kind;

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return text;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool Has(const HttpHead& head, const std::string& name, std::string_view element) {
  for (const std::string& value : head.List(name)) {
    if (Lower(value) == element) return true;
  }
  return false;
}

Handshake Refuse(int code, std::string_view reason, std::string_view text) {
  return {Handshake::Transport::kRefused, false, HttpError(code, reason, text)};
}

Handshake UpgradeToSpdy(const HttpHead& head, Kind kind) {
  const std::string accepted =
      kind == Kind::kPortForward ? "portforward.k8s.io" : "v4.channel.k8s.io";
  const std::vector<std::string> offered = head.List(Lower(kVersionHeader));
  if (offered.empty()) {
    return Refuse(400, "Bad Request", std::string(kVersionHeader) + " is missing");
  }
  if (std::find(offered.begin(), offered.end(), accepted) == offered.end()) {
    return {Handshake::Transport::kRefused, false,
            HttpError(403, "Forbidden", "only " + accepted + " is spoken here",
                      "X-Accepted-Stream-Protocol-Versions: " + accepted + "\r\n")};
  }
  return {Handshake::Transport::kSpdy, false,
          std::string("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                      "Upgrade: SPDY/3.1\r\n") +
              kVersionHeader + ": " + accepted + "\r\n\r\n"};
}

// The first of the client's protocols that we speak.
Handshake::Transport TransportOf(std::string_view protocol, Kind kind, bool* signals) {
  *signals = protocol == "v5.channel.k8s.io" && kind != Kind::kPortForward;
  if (protocol == "v4.channel.k8s.io" || *signals) return Handshake::Transport::kChannels;
  if (kind == Kind::kPortForward && protocol == std::string(kTunnelPrefix) + "portforward.k8s.io") {
    return Handshake::Transport::kTunnel;
  }
  return Handshake::Transport::kRefused;
}

Handshake UpgradeToWebSocket(const HttpHead& head, Kind kind) {
  const std::vector<std::string> keys = head.List("sec-websocket-key");
  constexpr size_t kKeySize = 24;  // 16 bytes in base64
  if (head.method != "GET" || keys.size() != 1 || keys[0].size() != kKeySize ||
      !Has(head, "sec-websocket-version", "13")) {
    return Refuse(400, "Bad Request", "not a WebSocket handshake of version 13");
  }
  for (const std::string& protocol : head.List("sec-websocket-protocol")) {
    bool signals = false;
    const Handshake::Transport transport = TransportOf(protocol, kind, &signals);
    if (transport == Handshake::Transport::kRefused) continue;
    return {transport, signals,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Accept: " +
                WebSocketAccept(keys[0]) + "\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n"};
  }
  return Refuse(403, "Forbidden", "none of the client's Sec-WebSocket-Protocol is spoken here");
}

}  // namespace

std::vector<std::string> HttpHead::List(const std::string& name) const {
  std::vector<std::string> elements;
  const auto values = headers.find(name);
  if (values == headers.end()) return elements;
  for (std::string_view rest : values->second) {
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view element = Trim(rest.substr(0, comma));
      if (!element.empty()) elements.emplace_back(element);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return elements;
}

Result<HttpHead> ParseHead(std::string_view text) {
  namespace http = boost::beast::http;
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxRequestHead);
  parser.skip(true);  // a body, which none of these requests has, is looked for below
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(text.data(), text.size()), error);
  if (error || !parser.is_header_done()) return Status(EPROTO, "not an HTTP request");
  const auto& message = parser.get();
  HttpHead head;
  head.method = std::string(message.method_string());
  const std::string target(message.target());
  head.path = target.substr(0, target.find('?'));
  for (const auto& field : message) {
    head.headers[Lower(std::string(field.name_string()))].emplace_back(field.value());
  }
  for (const std::string& length : head.List("content-length")) {
    if (length != "0") return Status(EPROTO, "a request with a body");
  }
  if (head.headers.contains("transfer-encoding")) return Status(EPROTO, "a request with a body");
  return head;
}

Handshake Negotiate(const HttpHead& head, Kind kind) {
  if (head.method != "GET" && head.method != "POST") {
    return Refuse(405, "Method Not Allowed", "GET or POST");
  }
  if (Has(head, "connection", "upgrade")) {
    if (Has(head, "upgrade", "spdy/3.1")) return UpgradeToSpdy(head, kind);
    if (Has(head, "upgrade", "websocket")) return UpgradeToWebSocket(head, kind);
  }
  return Refuse(400, "Bad Request", "an upgrade to SPDY/3.1 or to WebSocket is wanted");
}

std::string HttpError(int code, std::string_view reason, std::string_view text,
                      std::string_view headers) {
  return "HTTP/1.1 " + std::to_string(code) + " " + std::string(reason) + "\r\n" +
         std::string(headers) +
         "Content-Type: text/plain\r\nConnection: close\r\nContent-Length: " +
         std::to_string(text.size() + 1) + "\r\n\r\n" + std::string(text) + "\n";
}

}  // namespace usetl::cri::streaming
