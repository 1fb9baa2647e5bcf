// request.h: a kHttpRequest record, checked.
#ifndef USETL_VMM_PROXY_ETL_REQUEST_H_
#define USETL_VMM_PROXY_ETL_REQUEST_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/abi/mail.h"
#include "vmm/base/status.h"
#include "vmm/proxy/etl/header_block.h"
#include "vmm/proxy/etl/limits.h"
#include "vmm/proxy/region/guest_region_view.h"

namespace usetl::etl {

struct Request {
  std::string method;
  std::string url;  // not yet looked at
  std::vector<Header> headers;
  abi::BodyKind body = abi::BodyKind::kNone;
  std::vector<uint8_t> inline_body;
  std::span<const uint8_t> region_body;  // in the guest region: its bytes may change at any time
  std::optional<uint64_t> stream_size;   // of a kStream body, when the guest knows it
  uint64_t max_body = 0;                 // effective
  uint32_t timeout_ms = 0;               // effective
  bool stream = false;
  bool may_stream = false;
  bool no_redirect = false;
};

// EPROTO: the guest broke the protocol (the function ends). EINVAL: the request itself is bad, the
// function gets the text. EFBIG: its body is larger than the limit.
Result<Request> ParseRequest(std::span<const uint8_t> payload, const Limits& limits,
                             const GuestRegionView& guest);

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_REQUEST_H_
