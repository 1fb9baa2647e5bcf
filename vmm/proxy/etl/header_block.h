// header_block.h: "Name: value\r\n" lines from the guest and from peers.
#ifndef USETL_VMM_PROXY_ETL_HEADER_BLOCK_H_
#define USETL_VMM_PROXY_ETL_HEADER_BLOCK_H_

#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::etl {

inline constexpr size_t kMaxHeaders = 100;
inline constexpr size_t kMaxRequestHeaderBytes = 32 << 10;
inline constexpr size_t kMaxResponseHeaderBytes = 64 << 10;

struct Header {
  std::string name;  // as written
  std::string value;
};

// A method or a header's name: token of RFC 9110.
bool IsToken(std::string_view text);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// Reads the guest's block strictly and leaves out what the proxy itself decides (Host,
// Content-Length, Expect), what ends at the next hop, and what asks for metadata. EINVAL says which
// rule is broken.
Result<std::vector<Header>> ParseRequestHeaders(std::string_view block);

// Collects the lines that a peer sends, as libcurl hands them out: informational answers first,
// trailers last; the final answer's lines are kept.
class ResponseHeaders {
 public:
  // One line with its line end. False: more than kMaxHeaders or kMaxResponseHeaderBytes in all.
  bool Add(std::string_view line);
  // The empty line after the final answer was seen; what follows are trailers.
  bool complete() const { return complete_; }
  int status() const { return status_; }

  // The value of the first header of that name, empty when there is none.
  std::string_view Find(std::string_view name) const;
  // Whether that header came more than once with different values.
  bool Contradicts(std::string_view name) const;
  // Lines for the guest, hop-by-hop headers left out.
  std::string Block() const;
  // Forgets everything, for the next hop.
  void Clear() { *this = {}; }

 private:
  std::vector<Header> headers_;
  size_t bytes_ = 0;
  size_t lines_ = 0;
  int status_ = 0;
  bool complete_ = false;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_HEADER_BLOCK_H_
