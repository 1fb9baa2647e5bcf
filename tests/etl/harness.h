// harness.h: the guest's side of a proxy: requests in, answers out, as the kernel does it.
#ifndef USETL_TESTS_ETL_HARNESS_H_
#define USETL_TESTS_ETL_HARNESS_H_

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/proxy/etl/etl_proxy.h"

namespace usetl::test {

// What arrived for one transaction.
struct Answer {
  bool have_head = false;
  bool finished = false;
  abi::HttpHead head{};
  abi::HttpError error = abi::HttpError::kNone;
  std::string headers;
  std::string message;
  std::string body;         // copied out of the region
  uint64_t done_bytes = 0;  // of kHttpDone
  int last_records = 0;
  bool unread = false;  // spans wait to be consumed
};

struct Ask {
  std::string method = "GET";
  std::string url;
  std::string headers;
  abi::BodyKind kind = abi::BodyKind::kNone;
  std::string body;  // inline or region
  uint64_t stream_size = ~uint64_t{0};
  uint64_t max_body = 0;
  uint32_t timeout_ms = 0;
  uint32_t flags = 0;
};

// A test with a proxy, two regions and a ring that can be made full.
class EtlTest : public testing::Test {
 protected:
  static constexpr uint64_t kGuestSize = 128 << 20;

  EtlTest();
  ~EtlTest() override;

  // Makes the proxy; call after options are set. Otherwise the first request does it.
  void Open();
  etl::EtlProxy& proxy() { return *proxy_; }

  uint64_t Send(const Ask& ask);
  void Post(abi::RecordType type, uint64_t id, const void* payload = nullptr, size_t size = 0);
  void Consume(uint64_t id);
  // A piece of a streamed body, put into the guest region at `offset`.
  void SendBody(uint64_t id, const std::string& bytes, uint64_t offset);
  // Runs the proxy until `until` or a guard of 60 s.
  void Run(const std::function<bool()>& until);
  void RunFor(int milliseconds);
  Answer& Wait(uint64_t id);
  Answer Fetch(const Ask& ask) { return Wait(Send(ask)); }
  Answer Get(const std::string& url, uint32_t flags = 0) {
    return Fetch({.url = url, .flags = flags});
  }
  void Release(const Answer& answer);

  etl::EtlProxyOptions options;
  uint64_t region_size = 256 << 20;
  std::map<uint64_t, Answer> answers;
  bool auto_consume = true;  // read streamed spans as they come
  bool ring_full = false;
  Status last_status;  // of the last OnRecord
  std::vector<etl::AuditEvent> audit;
  std::unique_ptr<HostRegion> region;
  uint8_t* guest_memory = nullptr;

 private:
  bool OnPost(abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
              std::span<const uint8_t> tail);

  uint8_t* host_memory_ = nullptr;
  std::unique_ptr<GuestRegionView> guest_;
  std::unique_ptr<etl::EtlProxy> proxy_;
  std::map<uint64_t, std::vector<abi::HttpSpan>> unread_;
  uint64_t next_id_ = 1;
  uint64_t next_offset_ = 0;
};

// Bytes that differ from place to place.
std::string Pattern(size_t size, uint8_t seed = 1);

}  // namespace usetl::test

#endif  // USETL_TESTS_ETL_HARNESS_H_
