// headers.h: header blocks of requests and answers: "Name: value\r\n" lines.
#ifndef USETL_VMM_PROXY_ETL_HEADERS_H_
#define USETL_VMM_PROXY_ETL_HEADERS_H_

#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl {

struct Header {
  std::string name;
  std::string value;
};

inline constexpr size_t kMaxHeaders = 100;
inline constexpr size_t kMaxHeaderBytes = 24 << 10;

// Parses what a function sent: token names, no control characters, at most kMaxHeaders. Hop-by-hop
// headers, Host, Content-Length, Expect and the metadata services' headers are dropped.
Status ParseRequestHeaders(std::string_view block, std::vector<Header>* headers);

// Adds a line of an answer to `block`, unless it is hop-by-hop. False: the limits are passed.
bool AppendAnswerHeader(std::string_view line, std::string* block, size_t* count);

bool EqualsIgnoringCase(std::string_view a, std::string_view b);

}  // namespace usetl

#endif  // USETL_VMM_PROXY_ETL_HEADERS_H_
