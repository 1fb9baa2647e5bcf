#include "vmm/proxy/etl/request.h"

#include <algorithm>
#include <cstring>

namespace usetl::etl {
namespace {

constexpr size_t kMaxMethod = 32;

Status Broken(const char* why) { return Status(EPROTO, std::string("HTTP request: ") + why); }
Status Bad(const char* why) { return Status(EINVAL, std::string("request: ") + why); }

}  // namespace

Result<Request> ParseRequest(std::span<const uint8_t> payload, const Limits& limits,
                             const GuestRegionView& guest) {
  abi::HttpRequest head;
  if (payload.size() < sizeof head) return Broken("shorter than its head");
  std::memcpy(&head, payload.data(), sizeof head);
  std::span<const uint8_t> rest = payload.subspan(sizeof head);
  bool complete = true;
  const auto take = [&](uint64_t size) {
    complete &= size <= rest.size();
    const auto part = rest.first(std::min<uint64_t>(size, rest.size()));
    rest = rest.subspan(part.size());
    return std::string(reinterpret_cast<const char*>(part.data()), part.size());
  };
  Request request;
  request.method = take(head.method_size);
  request.url = take(head.url_size);
  const std::string headers = take(head.headers_size);
  if (!complete) return Broken("shorter than its parts");
  constexpr uint32_t kFlags = abi::kHttpStream | abi::kHttpNoRedirect | abi::kHttpMayStream;
  if ((head.flags & ~kFlags) != 0) return Broken("unknown flags");

  request.body = head.body;
  switch (head.body) {
    case abi::BodyKind::kNone:
      break;
    case abi::BodyKind::kStream:
      if (head.body_size != ~uint64_t{0}) request.stream_size = head.body_size;
      break;
    case abi::BodyKind::kInline:
      if (head.body_size > rest.size()) return Broken("shorter than its body");
      request.inline_body.assign(rest.begin(), rest.begin() + head.body_size);
      break;
    case abi::BodyKind::kRegion: {
      auto span = guest.Span(head.body_offset, head.body_size);
      if (!span.ok()) return Broken("body beyond the guest region");
      request.region_body = *span;
      break;
    }
    default:
      return Broken("unknown kind of body");
  }

  request.stream = (head.flags & abi::kHttpStream) != 0;
  request.may_stream = (head.flags & abi::kHttpMayStream) != 0;
  request.no_redirect = (head.flags & abi::kHttpNoRedirect) != 0;
  request.max_body =
      head.max_body == 0 ? limits.max_body : std::min(head.max_body, limits.max_body);
  request.timeout_ms = head.timeout_ms == 0 ? limits.total_timeout_ms
                                            : std::min(head.timeout_ms, limits.total_timeout_ms);

  if (request.method.size() > kMaxMethod || !IsToken(request.method)) {
    return Bad("the method is not a token");
  }
  // CONNECT asks for a tunnel, past every check of this proxy.
  if (EqualsIgnoreCase(request.method, "CONNECT")) return Bad("CONNECT is not carried out");
  if (request.method == "HEAD" && request.body != abi::BodyKind::kNone) {
    return Bad("HEAD has no body");
  }
  Result<std::vector<Header>> parsed = ParseRequestHeaders(headers);
  if (!parsed.ok()) return parsed.status();
  request.headers = std::move(*parsed);
  if (request.region_body.size() > limits.max_request_body ||
      request.stream_size.value_or(0) > limits.max_request_body) {
    return Status(EFBIG, "the request's body is larger than the limit");
  }
  return request;
}

}  // namespace usetl::etl
