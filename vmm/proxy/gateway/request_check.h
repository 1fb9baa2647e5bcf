// request_check.h: what a request must not look like, beyond what the parser refuses.
#ifndef USETL_VMM_PROXY_GATEWAY_REQUEST_CHECK_H_
#define USETL_VMM_PROXY_GATEWAY_REQUEST_CHECK_H_

#include <string>
#include <string_view>

namespace usetl::gateway {

// Of a whole header block, as it came, with its last empty line: no NUL, no CR or LF by itself, no
// folded field. Parsers differ on these, and differences are how requests are smuggled
// (RFC 9112, sections 2.2 and 5.2).
bool IsCleanHeader(std::string_view block);

// The client's own, if it is sane; else a new one.
std::string RequestId(std::string_view given);

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_REQUEST_CHECK_H_
