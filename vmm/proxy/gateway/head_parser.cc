#include "vmm/proxy/gateway/head_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>

#include "vmm/proxy/gateway/header_rules.h"

namespace usetl::gateway {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

// Room for the request line beside the headers; each has its own limit below.
constexpr uint32_t kMaxHead = kMaxHeaderBytes + kMaxTarget + 64;

std::string_view AsStd(string_view text) { return {text.data(), text.size()}; }

class Parser : public http::basic_parser<true> {
 public:
  explicit Parser(RequestHead* head) : head_(head) {
    header_limit(kMaxHead);
    body_limit(UINT64_MAX);  // http1.cc compares the length with its own
  }

  int refusal = 0;
  int version = 11;
  size_t hosts = 0;
  std::string target, connection, upgrade, expect, settings;

 private:
  void Refuse(int status, error_code& ec) {
    refusal = status;
    ec = http::make_error_code(http::error::bad_value);
  }

  void on_request_impl(http::verb, string_view method, string_view text, int number,
                       error_code& ec) override {
    if (text.size() > kMaxTarget) return Refuse(414, ec);
    if (method.size() > 32) return Refuse(501, ec);
    version = number;
    head_->request.method = AsStd(method);
    target = AsStd(text);
  }

  void on_field_impl(http::field, string_view name, string_view value, error_code& ec) override {
    bytes_ += name.size() + value.size() + 4;
    Headers& headers = head_->request.headers;
    if (headers.size() >= kMaxHeaders || bytes_ > kMaxHeaderBytes) return Refuse(431, ec);
    std::string lower = LowerCase(AsStd(name));
    if (lower == "host") ++hosts;
    if (lower == "connection") Join(&connection, value);
    if (lower == "upgrade") Join(&upgrade, value);
    if (lower == "expect") Join(&expect, value);
    if (lower == "http2-settings") Join(&settings, value);
    if (lower == "transfer-encoding") {
      if (!EqualsIgnoreCase(AsStd(value), "chunked")) return Refuse(501, ec);
      head_->chunked = true;
    }
    headers.emplace_back(std::move(lower), AsStd(value));
  }

  void Join(std::string* list, string_view value) {
    if (!list->empty()) *list += ", ";
    list->append(value.data(), value.size());
  }

  void on_header_impl(error_code&) override {
    if (content_length()) head_->content_length = *content_length();
  }

  // There is no body in what is parsed, and no answer.
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_body_init_impl(boost::optional<uint64_t> const&, error_code&) override {}
  size_t on_body_impl(string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, string_view, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  RequestHead* head_;
  size_t bytes_ = 0;
};

// Lines end with CR LF and are not folded, which Beast would undo.
bool HasPlainLines(std::string_view head) {
  for (size_t at = head.find('\n'); at != head.npos; at = head.find('\n', at + 1)) {
    if (at == 0 || head[at - 1] != '\r') return false;
    if (at + 1 < head.size() && (head[at + 1] == ' ' || head[at + 1] == '\t')) return false;
  }
  return true;
}

int RefusalOf(const Parser& parser, const error_code& ec) {
  if (parser.refusal != 0) return parser.refusal;
  if (ec == http::error::header_limit) return 431;
  if (ec == http::error::bad_version) return 505;
  return 400;
}

// One length, written once: lists and repetitions are how requests are smuggled.
bool HasOneLength(const Headers& headers) {
  size_t lengths = 0;
  for (const auto& [name, value] : headers) {
    if (name != "content-length") continue;
    const bool digits =
        !value.empty() && value.size() <= 19 &&
        std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (++lengths > 1 || !digits) return false;
  }
  return true;
}

}  // namespace

int ParseHead(std::string_view head, RequestHead* to) {
  if (!HasPlainLines(head)) return 400;
  Parser parser(to);
  error_code ec;
  const size_t used = parser.put(boost::asio::const_buffer(head.data(), head.size()), ec);
  // Without `eager`, Beast returns between the request line's fields and the body.
  if (ec || !parser.is_header_done() || used != head.size()) return RefusalOf(parser, ec);

  Request& request = to->request;
  const bool is_1_1 = parser.version == 11;
  if (!HasOneLength(request.headers)) return 400;
  if (to->chunked && (to->content_length || !is_1_1)) return 400;
  if (parser.hosts > 1 || (is_1_1 && parser.hosts == 0)) return 400;
  if (!IsHost(Find(request.headers, "host"))) return 400;
  if (parser.connection.size() > kMaxConnection) return 431;
  if (request.method == "CONNECT") return 501;
  std::string authority;
  if (!SplitTarget(parser.target, &request, &authority)) return 400;
  if (!authority.empty()) Set(&request.headers, "host", std::move(authority));
  request.http_version = is_1_1 ? "1.1" : "1.0";
  to->keep_alive =
      is_1_1 ? !HasToken(parser.connection, "close") : HasToken(parser.connection, "keep-alive");
  if (is_1_1 && !parser.expect.empty()) {
    if (!EqualsIgnoreCase(parser.expect, "100-continue")) return 417;
    to->expects_continue = true;
  }
  if (is_1_1 && HasToken(parser.upgrade, "h2c") && HasToken(parser.connection, "upgrade") &&
      HasToken(parser.connection, "http2-settings")) {
    to->h2c_settings = parser.settings;
  }
  DropHopByHop(&request.headers, parser.connection);
  return 0;
}

}  // namespace usetl::gateway
