// header_rules.h: what a header may be, and which ones end here.
#ifndef USETL_VMM_PROXY_GATEWAY_HEADER_RULES_H_
#define USETL_VMM_PROXY_GATEWAY_HEADER_RULES_H_

#include <string>
#include <string_view>

#include "vmm/proxy/gateway/request.h"

namespace usetl::gateway {

inline constexpr size_t kMaxHeaders = 100;
inline constexpr size_t kMaxHeaderBytes = 32 << 10;
inline constexpr size_t kMaxTarget = 8 << 10;
// Of Connection: each header is compared with all that it names.
inline constexpr size_t kMaxConnection = 1 << 10;

bool IsHeaderName(std::string_view name);
bool IsHeaderValue(std::string_view value);
// One host and port, as far as no two readers can take it for different ones. May be empty.
bool IsHost(std::string_view value);
// A name in lower case that belongs to one connection (RFC 9110 7.6.1), as opposed to the request.
bool IsHopByHop(std::string_view name);
// A header that the gateway writes by itself into every answer, or that is hop-by-hop.
bool IsGatewaysOwn(std::string_view name);
std::string LowerCase(std::string_view text);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
// Whether `list`, of tokens and commas, has `token`.
bool HasToken(std::string_view list, std::string_view token);

std::string_view Find(const Headers& headers, std::string_view name);
void Set(Headers* headers, std::string_view name, std::string value);
// Takes out what is hop-by-hop, and what `connection` names. A client cannot have taken out what
// functions rely on (Host, Authorization, X-Forwarded-For, ...).
void DropHopByHop(Headers* headers, std::string_view connection);

// The client's X-Request-Id, if it is up to 128 visible characters; else none.
std::string SaneRequestId(const Headers& headers);

// Splits the target of a request: "/path?query", absolute form (its authority goes to
// `authority`) or "*". False: none of those.
bool SplitTarget(std::string_view target, Request* request, std::string* authority);

std::string_view ReasonOf(int status);
// {"error": TEXT, "requestId": ID}; TEXT without characters that JSON would quote.
std::string ErrorBody(std::string_view text, std::string_view request_id);

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_HEADER_RULES_H_
