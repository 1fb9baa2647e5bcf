// transaction.h: one request of the guest, from its record to the last record of the answer.
#ifndef USETL_VMM_PROXY_ETL_TRANSACTION_H_
#define USETL_VMM_PROXY_ETL_TRANSACTION_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/proxy/etl/curl_loop.h"
#include "vmm/proxy/etl/etl_proxy.h"
#include "vmm/proxy/etl/name_resolver.h"
#include "vmm/proxy/etl/outbox.h"
#include "vmm/proxy/etl/request.h"
#include "vmm/proxy/etl/request_body.h"
#include "vmm/proxy/etl/response_writer.h"

namespace usetl::etl {

// What the transactions of one function share.
struct Context {
  EtlProxyOptions options;
  HostRegion* region;
  const GuestRegionView* guest;
  Outbox outbox;
  std::unique_ptr<CurlLoop> loop;
  std::unique_ptr<NameResolver> resolver;  // none: names are the machine's
  Counters counters;
};

// Single-threaded. Posts exactly one last record, by Fail(), Cancel() or the writer's Finish().
class Transaction {
 public:
  Transaction(Context* context, uint64_t id, Request request);
  virtual ~Transaction() = default;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Its turn has come.
  virtual void Start() = 0;
  // The guest made room or sent body: what waited for it may go on.
  virtual void Resume() = 0;
  // Work that needs no event. True: there is more.
  virtual bool Step() { return false; }

  Status OnConsumed(const abi::HttpSpan& span);
  Status OnBody(const abi::HttpSpan& span);
  Status OnBodyEnd();
  void Cancel();

  // NowNs() of the next thing that OnTime() wants to see; 0: none.
  virtual uint64_t deadline() const;
  virtual void OnTime(uint64_t now);

  uint64_t id() const { return id_; }
  bool started = false;  // of the proxy: it has had its turn
  bool done() const { return writer_.done(); }
  // The transfer itself is over; the guest reads the rest.
  bool draining() const { return writer_.draining(); }
  void Flush() { writer_.Flush(); }

  // Ends with an error: `cause` is for the audit log, the guest gets a coarse text, or `cause`
  // itself when it speaks of nothing but the function's own request.
  void Fail(abi::HttpError error, std::string_view cause);

 protected:
  // Lets go of sockets, files and the regions.
  virtual void Stop() = 0;
  // Where the request is going now, for the audit log.
  virtual std::string Target() const = 0;
  ResponseWriter::Mode mode() const;

  Context* const context_;
  const uint64_t id_;
  Request request_;
  RequestBody body_;
  ResponseWriter writer_;
  uint64_t total_deadline_;
};

// The one line of text that the guest gets for an error.
std::string_view ErrorText(abi::HttpError error);

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_TRANSACTION_H_
