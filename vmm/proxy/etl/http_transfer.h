// http_transfer.h: a transaction over http or https, with its redirects.
#ifndef USETL_VMM_PROXY_ETL_HTTP_TRANSFER_H_
#define USETL_VMM_PROXY_ETL_HTTP_TRANSFER_H_

#include <curl/curl.h>

#include <memory>
#include <optional>
#include <string>

#include "vmm/proxy/etl/header_block.h"
#include "vmm/proxy/etl/transaction.h"
#include "vmm/proxy/etl/url.h"

namespace usetl::etl {

inline constexpr int kMaxRedirects = 5;

class HttpTransfer final : public Transaction {
 public:
  HttpTransfer(Context* context, uint64_t id, Request request, Url url);
  ~HttpTransfer() override { HttpTransfer::Stop(); }

  void Start() override;
  void Resume() override;
  uint64_t deadline() const override;
  void OnTime(uint64_t now) override;

  // libcurl has finished this hop.
  void OnHopDone(CURLcode result);
  static HttpTransfer* Of(CURL* easy);

 private:
  struct EasyCleanup {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct ListCleanup {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  void Stop() override;
  std::string Target() const override { return url_.LogText(); }

  // One hop: checks the origin, looks its name up, sets the transfer up, hands it to libcurl.
  void StartHop();
  void OnAddresses(const NameResolver::Addresses& addresses);
  void StartTransfer();
  bool SetOptions();
  bool SetHeaders();
  void SetBody();
  // The final head of this hop is there. False: give the transfer up.
  bool OnHead();
  void FollowRedirect();
  // Remembers why a callback gives the transfer up; the hop ends soon after.
  void GiveUp(abi::HttpError error, std::string cause);
  bool HasResponseBody() const;
  // Whether a server may get the request twice.
  bool IsIdempotent() const;
  std::string NotSentTwice() const;  // why it is not
  bool WaitsForGuest() const { return paused_ || starving_; }

  static size_t OnHeaderLine(char* line, size_t, size_t size, void* self);
  static size_t OnBodyBytes(char* bytes, size_t, size_t size, void* self);
  static size_t OnReadBody(char* to, size_t, size_t size, void* self);
  static int OnSeek(void* self, curl_off_t offset, int origin);
  static int OnSending(void* self, char*, char*, int, int);
  static curl_socket_t OnOpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static CURLcode OnTlsContext(CURL* easy, void* ssl_context, void* self);

  Url url_;
  std::unique_ptr<CURL, EasyCleanup> easy_;
  std::unique_ptr<curl_slist, ListCleanup> header_list_, address_list_;
  uint64_t lookup_ = 0;  // of the resolver: the name is being looked up
  char error_text_[CURL_ERROR_SIZE] = {};
  bool running_ = false;   // added to the multi handle
  bool paused_ = false;    // the answer waits for room in the ring
  bool starving_ = false;  // the request waits for more body from the guest
  bool send_body_ = false;

  ResponseHeaders headers_;
  bool redirecting_ = false;
  size_t discarded_ = 0;  // body bytes of a redirect
  int hops_ = 0;
  int attempts_ = 0;  // to send the request of this hop

  uint64_t hop_started_ = 0;
  uint64_t last_activity_ = 0;
  bool connecting_ = false;  // a socket was opened: the name is resolved
  std::string denied_;       // why the last address was refused
  std::optional<abi::HttpError> failure_;
  std::string failure_cause_;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_HTTP_TRANSFER_H_
