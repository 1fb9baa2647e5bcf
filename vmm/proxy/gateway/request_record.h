// request_record.h: a request as the JSON of a kInvoke record (guest/python/README.md).
#ifndef USETL_VMM_PROXY_GATEWAY_REQUEST_RECORD_H_
#define USETL_VMM_PROXY_GATEWAY_REQUEST_RECORD_H_

#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/status.h"
#include "vmm/proxy/gateway/request.h"

namespace usetl::gateway {

struct RecordOptions {
  size_t max_size;                 // of the record
  std::string_view body_path;      // where the guest finds the body; empty: it goes into the record
  std::optional<double> deadline;  // seconds on CLOCK_MONOTONIC
  // Answers from this request's number on have not been read: their files are to stay.
  std::optional<uint64_t> unread;
};

// Written at one go into `record`, whose memory is used again. E2BIG: it does not fit; with the
// body elsewhere, the headers are too long.
Status WriteRequestRecord(const Request& request, const RecordOptions& options,
                          std::string* record);

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_REQUEST_RECORD_H_
