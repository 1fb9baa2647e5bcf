// transaction.h: one HTTP transaction of EtlProxy.
#ifndef USETL_VMM_PROXY_ETL_TRANSACTION_H_
#define USETL_VMM_PROXY_ETL_TRANSACTION_H_

#include <chrono>
#include <set>

#include "vmm/proxy/etl/etl_proxy.h"

namespace usetl {

struct EtlProxy::Transaction {
  EtlProxy* proxy = nullptr;
  uint64_t id = 0;
  CURL* easy = nullptr;
  curl_slist* list = nullptr;
  std::string method, url;
  std::vector<Header> headers;
  std::span<const uint8_t> body;  // in the guest region, or in `streamed`
  uint64_t sent = 0;
  std::string streamed;
  bool has_body = false;
  bool streaming = false;  // pieces are still coming
  bool follow = true;
  uint32_t timeout_ms = 0;
  uint64_t max_body = 0;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();

  Origin origin;           // of the current hop
  std::set<std::string> visited;
  int hops = 0;
  std::string answer_headers, location;
  size_t header_count = 0;
  HostRegion::Body answer;
  // Why a callback stopped the transfer, where it did.
  abi::HttpError stopped = abi::HttpError::kNone;
  std::string stop_cause;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_ETL_TRANSACTION_H_
