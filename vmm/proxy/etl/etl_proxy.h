// etl_proxy.h: carries out the HTTP requests of one function, on libcurl.
//
// Single-threaded: the owner's loop watches poll_fd() and calls OnReady(). Bodies of answers are
// written straight into the host region, bodies of requests are sent from the guest region.
#ifndef USETL_VMM_PROXY_ETL_ETL_PROXY_H_
#define USETL_VMM_PROXY_ETL_ETL_PROXY_H_

#include <curl/curl.h>

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "vmm/abi/mail.h"
#include "vmm/base/fd.h"
#include "vmm/proxy/etl/headers.h"
#include "vmm/proxy/etl/policy.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl {

struct EtlLimits {
  uint64_t max_body = 1ull << 40;      // of an answer; the region bounds it first
  uint32_t timeout_ms = 60'000;        // of a whole transaction
  uint32_t connect_timeout_ms = 10'000;
  uint32_t max_transactions = 64;
  uint64_t max_streamed_request = 64 << 20;
};

struct EtlCounters {
  uint64_t requests = 0, denied = 0, failed = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
};

class EtlProxy {
 public:
  // Puts a record on the ring to the guest; false when it is full (the record is kept and offered
  // again from OnReady).
  using Post = std::function<bool(abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
                                  std::span<const uint8_t> tail)>;
  using Audit = std::function<void(const std::string& line)>;

  // `region` and the guest region's bytes must outlive this.
  static Result<std::unique_ptr<EtlProxy>> Create(Policy policy, EtlLimits limits,
                                                  HostRegion* region,
                                                  std::span<const uint8_t> guest_region, Post post,
                                                  Audit audit);
  ~EtlProxy();

  // A record of an HTTP type from the guest: hostile. An error means that the guest broke the rules of
  // the rings and must be given up.
  Status OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload);

  int poll_fd() const { return epoll_.get(); }
  void OnReady();
  bool has_pending_records() const { return !pending_.empty(); }
  const EtlCounters& counters() const { return counters_; }

 private:
  struct Transaction;
  struct PendingRecord {
    abi::RecordType type;
    uint64_t id;
    std::string head, tail;
  };

  EtlProxy() = default;
  Status Begin(uint64_t id, std::span<const uint8_t> payload);
  void Start(Transaction* t);  // the first hop, or the next one
  void Finish(Transaction* t, CURLcode code);
  bool FollowRedirect(Transaction* t);
  void Fail(Transaction* t, abi::HttpError error, const std::string& message,
            const std::string& cause);
  void Send(abi::RecordType type, uint64_t id, const void* head, size_t head_size,
            std::string_view tail);
  void Forget(uint64_t id);
  void CollectFinished();

  static int OnSocket(CURL* easy, curl_socket_t socket, int what, void* self, void* mark);
  static int OnTimer(CURLM* multi, long milliseconds, void* self);
  static size_t OnBody(char* bytes, size_t one, size_t size, void* transaction);
  static size_t OnHeader(char* line, size_t one, size_t size, void* transaction);
  static size_t OnRead(char* buffer, size_t one, size_t size, void* transaction);
  static int OnSeek(void* transaction, curl_off_t offset, int origin);
  static curl_socket_t OnOpenSocket(void* transaction, curlsocktype purpose,
                                    curl_sockaddr* address);

  Policy policy_;
  EtlLimits limits_;
  HostRegion* region_ = nullptr;
  std::span<const uint8_t> guest_region_;
  Post post_;
  Audit audit_;
  CURLM* multi_ = nullptr;
  Fd epoll_, timer_;
  std::map<uint64_t, std::unique_ptr<Transaction>> transactions_;
  std::vector<PendingRecord> pending_;
  EtlCounters counters_;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_ETL_ETL_PROXY_H_
