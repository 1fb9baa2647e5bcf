// etl_proxy.h: carries out the HTTP requests of one function.
//
// Single-threaded and never blocking: the owner's epoll loop waits for poll_fd() and for the
// guest's ring. What the guest sends is hostile. README.md describes the flow and the rules.
#ifndef USETL_VMM_PROXY_ETL_ETL_PROXY_H_
#define USETL_VMM_PROXY_ETL_ETL_PROXY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "vmm/abi/mail.h"
#include "vmm/base/status.h"
#include "vmm/proxy/etl/file_origin.h"
#include "vmm/proxy/etl/limits.h"
#include "vmm/proxy/etl/name_config.h"
#include "vmm/proxy/etl/policy.h"
#include "vmm/proxy/region/guest_region_view.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl::etl {

// Publishes one record (head, then tail) on the ring to the guest. False: no room, the proxy keeps
// the record until OnRingRoom(). Must not call back into the proxy.
using PostRecord =
    std::function<bool(abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
                       std::span<const uint8_t> tail)>;

// One line of the audit log: a transaction that was refused or failed, with its full cause. The
// URL comes without query and fragment, which may hold credentials.
struct AuditEvent {
  uint64_t id;
  abi::HttpError error;
  std::string method;
  std::string url;
  std::string cause;
};
using AuditLog = std::function<void(const AuditEvent&)>;

struct EtlProxyOptions {
  Policy policy;
  Limits limits;
  TlsOptions tls;
  ObjectStore objects;  // directories behind file: URLs
  NameConfig names;     // empty: the machine's
  AuditLog audit;       // may be empty
};

class EtlProxy {
 public:
  // `region` and `guest` are not owned and outlive the proxy. The CA bundle and the name service's
  // files are opened by the first request that needs them.
  static Result<std::unique_ptr<EtlProxy>> Create(EtlProxyOptions options, HostRegion* region,
                                                  const GuestRegionView* guest, PostRecord post);
  ~EtlProxy();
  EtlProxy(const EtlProxy&) = delete;
  EtlProxy& operator=(const EtlProxy&) = delete;

  // True: the record type is one of the proxy's (kHttp..., kRelease).
  static bool Handles(abi::RecordType type);
  // One record of the guest. REQUIRES: `payload` is a private copy (RingConsumer::Take makes one).
  // An error means that the guest broke the protocol: the caller ends the function.
  Status OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload);

  // Readable when OnReady() has work. An epoll descriptor, owned by the proxy.
  int poll_fd() const;
  void OnReady();

  // The ring to the guest has room again.
  void OnRingRoom();
  // Records wait for room: the caller takes no more records from the guest meanwhile.
  bool congested() const;

  // The function ends: all transfers stop, nothing is posted or read from the regions any more.
  // Published bodies stay until HostRegion::Reset(). The proxy can serve the next run.
  void CancelAll();

  uint32_t open_transactions() const;
  const Counters& counters() const;

 private:
  class Impl;
  explicit EtlProxy(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_ETL_PROXY_H_
