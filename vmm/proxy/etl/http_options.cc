// How a hop is set up for libcurl.
#include <openssl/ssl.h>

#include <algorithm>
#include <string>

#include "vmm/proxy/etl/http_transfer.h"

namespace usetl::etl {
namespace {

using abi::HttpError;

// libcurl copies a body once, from this buffer; 16 kB at a time go to the callback whatever its
// size. README.md has the figures.
constexpr long kReceiveBuffer = 512 << 10;
constexpr long kSendBuffer = 512 << 10;

}  // namespace

bool HttpTransfer::SetOptions() {
  easy_.reset(curl_easy_init());
  CURL* easy = easy_.get();
  if (easy == nullptr) return false;
  const EtlProxyOptions& options = context_->options;
  bool ok = true;
  const auto set = [&](CURLoption option, auto value) {
    ok &= curl_easy_setopt(easy, option, value) == CURLE_OK;
  };
  // The checked parse result itself is what libcurl connects to.
  set(CURLOPT_CURLU, url_.handle());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_HTTP_CONTENT_DECODING, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // a hanging name service must not hang who cancels
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.limits.connect_timeout_ms));
  set(CURLOPT_BUFFERSIZE, kReceiveBuffer);
  set(CURLOPT_UPLOAD_BUFFERSIZE, kSendBuffer);
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, error_text_);

  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options.tls.ca_bundle.empty()) set(CURLOPT_CAINFO, options.tls.ca_bundle.c_str());
  set(CURLOPT_CAPATH, static_cast<char*>(nullptr));  // else the parsed bundle is not kept
  if (!options.tls.extra_ca.empty()) {
    set(CURLOPT_SSL_CTX_FUNCTION, OnTlsContext);
    set(CURLOPT_SSL_CTX_DATA, static_cast<void*>(this));
  }

  if (address_list_ != nullptr) set(CURLOPT_RESOLVE, address_list_.get());
  set(CURLOPT_PREREQFUNCTION, OnSending);
  set(CURLOPT_PREREQDATA, static_cast<void*>(this));
  set(CURLOPT_OPENSOCKETFUNCTION, OnOpenSocket);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, OnHeaderLine);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, OnBodyBytes);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  SetBody();
  return ok && SetHeaders();
}

void HttpTransfer::SetBody() {
  CURL* easy = easy_.get();
  const std::string& method = request_.method;
  if (method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return;
  }
  const bool empty = !send_body_ && (method == "POST" || method == "PUT" || method == "PATCH");
  if (send_body_ || empty) {
    // An upload of any method: the callback reads from the guest's memory, or the length is 0.
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, OnReadBody);
    curl_easy_setopt(easy, CURLOPT_READDATA, static_cast<void*>(this));
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, OnSeek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, static_cast<void*>(this));
    curl_off_t size = 0;
    if (send_body_) size = body_.size() ? static_cast<curl_off_t>(*body_.size()) : -1;
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, size);
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
}

bool HttpTransfer::SetHeaders() {
  header_list_.reset();
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(header_list_.get(), line.c_str());
    if (longer == nullptr) return false;
    (void)header_list_.release();
    header_list_.reset(longer);
    return true;
  };
  bool ok = add("Expect:");
  for (const Header& header : request_.headers) {
    // libcurl sends a header without a value only when it is written with a semicolon.
    ok &= add(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
  }
  return ok && curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, header_list_.get()) == CURLE_OK;
}

// RFC 9110, 9.2.2.
bool HttpTransfer::IsIdempotent() const {
  constexpr std::string_view kIdempotent[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
  return std::ranges::find(kIdempotent, request_.method) != std::end(kIdempotent);
}

std::string HttpTransfer::NotSentTwice() const {
  return "it was sent and got no answer; a " + request_.method +
         ", which the server may have carried out, is not sent twice";
}

// libcurl sends again what a server left without an answer on a connection that was used before.
int HttpTransfer::OnSending(void* self, char*, char*, int, int) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  if (++transfer->attempts_ == 1 || transfer->IsIdempotent()) return CURL_PREREQFUNC_OK;
  transfer->GiveUp(HttpError::kProtocol, transfer->NotSentTwice());
  return CURL_PREREQFUNC_ABORT;
}

curl_socket_t HttpTransfer::OnOpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  transfer->connecting_ = true;
  transfer->last_activity_ = NowNs();
  if (purpose != CURLSOCKTYPE_IPCXN) return CURL_SOCKET_BAD;
  // This very address is connected to next: names are not resolved again.
  const Status allowed = transfer->context_->options.policy.CheckAddress(
      transfer->url_.origin(), reinterpret_cast<const sockaddr*>(&address->addr));
  if (!allowed.ok()) {
    transfer->denied_ = allowed.message();
    return CURL_SOCKET_BAD;
  }
  ++transfer->context_->counters.connections;
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

CURLcode HttpTransfer::OnTlsContext(CURL*, void* ssl_context, void* self) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  const std::string& extra = transfer->context_->options.tls.extra_ca;
  return SSL_CTX_load_verify_locations(static_cast<SSL_CTX*>(ssl_context), extra.c_str(), nullptr)
             ? CURLE_OK
             : CURLE_SSL_CACERT_BADFILE;
}

}  // namespace usetl::etl
