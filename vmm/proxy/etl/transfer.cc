// transfer.cc: one hop on libcurl: set up, callbacks, the end.
#include <algorithm>
#include <cstring>

#include "vmm/proxy/etl/transaction.h"

namespace usetl {
namespace {

constexpr int kMaxHops = 5;

abi::HttpError ErrorOf(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST: return abi::HttpError::kResolve;
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED: return abi::HttpError::kConnect;
    case CURLE_OPERATION_TIMEDOUT: return abi::HttpError::kTimeout;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return abi::HttpError::kTls;
    case CURLE_FILESIZE_EXCEEDED: return abi::HttpError::kTooLarge;
    default: return abi::HttpError::kProtocol;
  }
}

const char* TextOf(abi::HttpError error) {
  switch (error) {
    case abi::HttpError::kDenied: return "the destination is not allowed";
    case abi::HttpError::kResolve: return "the host name was not found";
    case abi::HttpError::kConnect: return "the server could not be reached";
    case abi::HttpError::kTls: return "the server's certificate or handshake was refused";
    case abi::HttpError::kTimeout: return "the request took too long";
    case abi::HttpError::kTooLarge: return "the answer is larger than allowed";
    case abi::HttpError::kRedirects: return "too many redirects";
    case abi::HttpError::kNoSpace: return "the host region has no room for the answer";
    default: return "the server's answer is broken";
  }
}

bool IsRedirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

void EtlProxy::Start(Transaction* t) {
  std::string canonical;
  Status status = ParseUrl(t->url, &t->origin, &canonical);
  if (!status.ok()) return Fail(t, abi::HttpError::kBadRequest, status.message(), status.message());
  status = policy_.CheckOrigin(t->origin);
  if (!status.ok()) {
    return Fail(t, abi::HttpError::kDenied, TextOf(abi::HttpError::kDenied), status.message());
  }
  if (!t->visited.insert(t->method + " " + canonical).second || t->hops > kMaxHops) {
    return Fail(t, abi::HttpError::kRedirects, TextOf(abi::HttpError::kRedirects), "redirect loop");
  }
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - t->began);
  const long left = static_cast<long>(t->timeout_ms) - static_cast<long>(passed.count());
  if (left <= 0) return Fail(t, abi::HttpError::kTimeout, TextOf(abi::HttpError::kTimeout), "deadline");

  if (t->easy != nullptr) {
    curl_multi_remove_handle(multi_, t->easy);
    curl_easy_reset(t->easy);
  } else {
    t->easy = curl_easy_init();
  }
  curl_slist_free_all(t->list);
  t->list = curl_slist_append(nullptr, "Expect:");
  bool has_type = false;
  for (const Header& h : t->headers) {
    has_type = has_type || EqualsIgnoringCase(h.name, "content-type");
    // "Name;" is how libcurl sends a header without a value.
    t->list = curl_slist_append(t->list, (h.value.empty() ? h.name + ";" : h.name + ": " + h.value).c_str());
  }
  if (t->has_body && !has_type) t->list = curl_slist_append(t->list, "Content-Type:");
  t->answer_headers.clear();
  t->location.clear();
  t->header_count = 0;
  t->sent = 0;
  t->answer.size = 0;

  CURL* e = t->easy;
  const auto set = [e](CURLoption option, auto value) { curl_easy_setopt(e, option, value); };
  set(CURLOPT_PRIVATE, t);
  set(CURLOPT_URL, canonical.c_str());
  set(CURLOPT_CUSTOMREQUEST, t->method.c_str());
  set(CURLOPT_HTTPHEADER, t->list);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");  // whatever the environment says
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_FOLLOWLOCATION, 0L);  // each hop passes the policy here
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, left);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits_.connect_timeout_ms));
  set(CURLOPT_BUFFERSIZE, 512L << 10);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_WRITEFUNCTION, OnBody);
  set(CURLOPT_WRITEDATA, t);
  set(CURLOPT_HEADERFUNCTION, OnHeader);
  set(CURLOPT_HEADERDATA, t);
  set(CURLOPT_OPENSOCKETFUNCTION, OnOpenSocket);
  set(CURLOPT_OPENSOCKETDATA, t);
  if (t->method == "HEAD") set(CURLOPT_NOBODY, 1L);
  if (t->has_body) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, OnRead);
    set(CURLOPT_READDATA, t);
    set(CURLOPT_SEEKFUNCTION, OnSeek);
    set(CURLOPT_SEEKDATA, t);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(t->body.size()));
  }
  curl_multi_add_handle(multi_, e);
}

curl_socket_t EtlProxy::OnOpenSocket(void* data, curlsocktype, curl_sockaddr* address) {
  auto* t = static_cast<Transaction*>(data);
  const Status status = t->proxy->policy_.CheckAddress(t->origin, &address->addr);
  if (!status.ok()) {
    t->stopped = abi::HttpError::kDenied;
    t->stop_cause = status.message();
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

size_t EtlProxy::OnHeader(char* line, size_t, size_t size, void* data) {
  auto* t = static_cast<Transaction*>(data);
  const std::string_view text(line, size);
  if (text.starts_with("HTTP/")) {  // of an interim answer, or the final one
    t->answer_headers.clear();
    t->header_count = 0;
  }
  if (!AppendAnswerHeader(text, &t->answer_headers, &t->header_count)) {
    t->stopped = abi::HttpError::kTooLarge;
    t->stop_cause = "headers beyond the limit";
    return 0;
  }
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos && EqualsIgnoringCase(text.substr(0, colon), "location")) {
    std::string_view value = text.substr(colon + 1);
    while (!value.empty() && static_cast<unsigned char>(value.front()) <= 0x20) value.remove_prefix(1);
    while (!value.empty() && static_cast<unsigned char>(value.back()) <= 0x20) value.remove_suffix(1);
    t->location = value;
  }
  return size;
}

size_t EtlProxy::OnBody(char* bytes, size_t, size_t size, void* data) {
  auto* t = static_cast<Transaction*>(data);
  long status = 0;
  curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  if (t->follow && IsRedirect(status) && !t->location.empty()) return size;  // nobody reads it
  uint64_t needed = t->answer.size + size;
  if (t->answer.size == 0) {
    curl_off_t length = -1;
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0) needed = std::max<uint64_t>(needed, length);
  }
  if (needed > t->max_body) {
    t->stopped = abi::HttpError::kTooLarge;
    t->stop_cause = "body beyond the limit";
    return 0;
  }
  const Status room = t->proxy->region_->Reserve(&t->answer, needed);
  if (!room.ok()) {
    t->stopped = abi::HttpError::kNoSpace;
    t->stop_cause = room.message();
    return 0;
  }
  std::memcpy(t->proxy->region_->At(t->answer) + t->answer.size, bytes, size);
  t->answer.size += size;
  t->proxy->counters_.bytes_in += size;
  return size;
}

size_t EtlProxy::OnRead(char* buffer, size_t, size_t size, void* data) {
  auto* t = static_cast<Transaction*>(data);
  const size_t count = std::min<uint64_t>(size, t->body.size() - t->sent);
  std::memcpy(buffer, t->body.data() + t->sent, count);
  t->sent += count;
  t->proxy->counters_.bytes_out += count;
  return count;
}

int EtlProxy::OnSeek(void* data, curl_off_t offset, int origin) {
  auto* t = static_cast<Transaction*>(data);
  if (origin != SEEK_SET || offset < 0 || static_cast<uint64_t>(offset) > t->body.size()) {
    return CURL_SEEKFUNC_FAIL;
  }
  t->sent = offset;
  return CURL_SEEKFUNC_OK;
}

bool EtlProxy::FollowRedirect(Transaction* t) {
  long status = 0;
  char* next = nullptr;
  curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  if (!t->follow || !IsRedirect(status) || t->location.empty()) return false;
  curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &next);
  const std::string url = next == nullptr ? t->location : next;
  Origin origin;
  std::string canonical;
  if (!ParseUrl(url, &origin, &canonical).ok() ||
      (t->origin.scheme == "https" && origin.scheme == "http")) {
    Fail(t, abi::HttpError::kDenied, "a redirect leads where requests may not go", "redirect to " + url);
    return true;
  }
  // RFC 9110, 15.4: 303 always and, as everybody does, 301 and 302 after POST turn into GET.
  if ((status == 303 && t->method != "HEAD") || (status <= 302 && t->method == "POST")) {
    t->method = "GET";
    t->has_body = false;
    t->body = {};
  }
  if (!(origin == t->origin)) {
    std::erase_if(t->headers, [](const Header& h) {
      return EqualsIgnoringCase(h.name, "authorization") || EqualsIgnoringCase(h.name, "cookie");
    });
  }
  t->url = url;
  ++t->hops;
  Start(t);
  return true;
}

void EtlProxy::Finish(Transaction* t, CURLcode code) {
  if (code != CURLE_OK || t->stopped != abi::HttpError::kNone) {
    const abi::HttpError error =
        t->stopped != abi::HttpError::kNone ? t->stopped : ErrorOf(code);
    const std::string cause =
        t->stop_cause.empty() ? std::string(curl_easy_strerror(code)) : t->stop_cause;
    return Fail(t, error, TextOf(error), cause);
  }
  if (FollowRedirect(t)) return;
  long status = 0;
  curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  abi::HttpHead head{};
  head.status = static_cast<uint32_t>(status);
  head.headers_size = static_cast<uint32_t>(t->answer_headers.size());
  head.entry = abi::kNoEntry;
  if (t->answer.size != 0) {
    Result<uint32_t> entry = region_->Publish(t->answer);
    if (!entry.ok()) {
      return Fail(t, abi::HttpError::kNoSpace, TextOf(abi::HttpError::kNoSpace),
                  entry.status().message());
    }
    head.entry = *entry;
    head.body_offset = t->answer.offset;
    head.body_size = t->answer.size;
    t->answer = {};  // the entry's now
  }
  const uint64_t id = t->id;
  const std::string headers = std::move(t->answer_headers);
  Forget(id);
  Send(abi::RecordType::kHttpHead, id, &head, sizeof head, headers);
}

}  // namespace usetl
