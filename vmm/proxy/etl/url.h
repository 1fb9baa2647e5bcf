// url.h: the one parser of URLs, for checks and for use.
#ifndef USETL_VMM_PROXY_ETL_URL_H_
#define USETL_VMM_PROXY_ETL_URL_H_

#include <curl/curl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl::etl {

inline constexpr size_t kMaxUrl = 8192;

struct Origin {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case, no trailing dot; IPv6 in its shortest form, without brackets
  uint16_t port = 0;
  bool operator==(const Origin&) const = default;
  std::string Text() const;  // "http://host:port"
};

// A checked URL: http or https, no user, ASCII, at most 8 kB, no odd spelling of an IPv4 address.
class Url {
 public:
  // EINVAL with the rule that is broken.
  static Result<Url> Parse(std::string_view text);
  // The target of a redirect, as strictly parsed. EINVAL like Parse().
  Result<Url> Resolve(std::string_view location) const;

  const Origin& origin() const { return origin_; }
  // Whether the host ends in a dot: the name is complete, and no search domain belongs behind it.
  bool absolute() const { return absolute_; }
  // For CURLOPT_CURLU; lives as long as this object.
  CURLU* handle() const { return handle_.get(); }
  // Without query and fragment.
  std::string LogText() const;

 private:
  struct Cleanup {
    void operator()(CURLU* handle) const { curl_url_cleanup(handle); }
  };
  Url() = default;
  std::string Part(CURLUPart part, unsigned flags = 0) const;

  Origin origin_;
  bool absolute_ = false;
  std::unique_ptr<CURLU, Cleanup> handle_;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_URL_H_
