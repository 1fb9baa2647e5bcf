#include "cri/image/http_client.h"

#include <strings.h>

#include <algorithm>
#include <cstdlib>

#include "cri/image/challenge.h"
#include "cri/image/reference.h"

namespace usetl::image {
namespace {

constexpr std::string_view kPlain = "http://";
constexpr int kMaxRedirects = 5;
constexpr size_t kMaxHead = 64 << 10;
constexpr size_t kMaxExcerpt = 512;
constexpr size_t kMaxErrorBody = 64 << 10;
constexpr size_t kMaxHeaderValues = 8;
constexpr long kStallBytesPerSecond = 1024;
constexpr long kBuffer = 256 << 10;

// "name: value\r\n" of that name.
bool HeaderIs(std::string_view line, std::string_view name, std::string* value) {
  if (line.size() <= name.size() || line[name.size()] != ':' ||
      strncasecmp(line.data(), name.data(), name.size()) != 0) {
    return false;
  }
  line.remove_prefix(name.size() + 1);
  const size_t first = line.find_first_not_of(" \t");
  const size_t last = line.find_last_not_of(" \t\r\n");
  *value =
      first == std::string_view::npos || last < first ? "" : line.substr(first, last - first + 1);
  return true;
}

// Without TLS anybody between may read credentials and choose what a tag means.
Status CheckPlain(const StoreConfig& config, std::string_view origin) {
  if (!origin.starts_with(kPlain)) return Status();
  const std::string_view host = origin.substr(kPlain.size());
  const std::string_view without_port = host.substr(0, host.rfind(':'));
  if (IsLoopback(host) || config.insecure.contains(std::string(host)) ||
      (host.ends_with(":80") && config.insecure.contains(std::string(without_port)))) {
    return Status();
  }
  return Status(EACCES, std::string(origin) +
                            ": plain http is for loopback and for hosts that are named insecure");
}

// One line may not bring another with it.
bool IsHeaderLine(std::string_view line) {
  return std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

Status CurlError(CURL* easy, CURLcode code, const char* detail) {
  const std::string text = *detail != 0 ? detail : curl_easy_strerror(code);
  long error = 0;
  const bool refused = code == CURLE_COULDNT_CONNECT &&
                       curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error) == CURLE_OK &&
                       error == ECONNREFUSED;
  if (refused) return Status(ECONNREFUSED, text);
  return Status(code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : EHOSTUNREACH, text);
}

}  // namespace

Status HttpResponse::AsStatus() const {
  if (status >= 200 && status < 300) return Status();
  std::string text = "the registry answered " + std::to_string(status);
  if (!excerpt.empty()) text += ": " + excerpt;
  switch (status) {
    case 404:
      return Status(ENOENT, text);
    case 401:
    case 403:
      return Status(EACCES, text);
    case 408:
    case 429:
      return Status(EHOSTUNREACH, text);
    default:
      return Status(status >= 500 ? EHOSTUNREACH : EBADMSG, text);
  }
}

bool IsTransient(const Status& status) {
  return status.code() == EHOSTUNREACH || status.code() == ECONNREFUSED ||
         status.code() == ETIMEDOUT;
}

// One request with all its hops.
struct HttpClient::Exchange {
  const BodySink& sink;
  const Cancelled& cancelled;
  HttpResponse response;
  size_t head_bytes = 0;
  size_t error_bytes = 0;
  bool enough = false;  // the rest of an error's text is not waited for
  Status failure;       // why a callback ended the transfer
};

HttpClient::HttpClient(const StoreConfig& config, Cancelled cancelled)
    : config_(config), cancelled_(std::move(cancelled)), easy_(curl_easy_init()) {}

Result<HttpResponse> HttpClient::Get(const HttpRequest& request, const BodySink& sink) {
  if (!easy_) return Status(ENOMEM, "no memory for libcurl");
  const Result<std::string> origin = OriginOf(request.url);
  if (!origin.ok()) return origin.status();
  Exchange exchange{.sink = sink, .cancelled = cancelled_};
  std::string url = request.url;
  bool secure = url.starts_with("https:");
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    const Result<std::string> at = OriginOf(url);
    if (!at.ok()) return at.status();
    USETL_RETURN_IF_ERROR(CheckPlain(config_, *at));
    const Result<std::string> next = Hop(request, url, *at == *origin, &exchange);
    if (!next.ok()) return next.status().Annotate(*at);
    if (next->empty()) {
      exchange.response.redirected = *at != *origin;
      return std::move(exchange.response);
    }
    const Result<std::string> there = OriginOf(*next);
    if (!there.ok()) return there.status();
    if (secure && !there->starts_with("https:")) {
      return Status(EBADMSG, *at + " redirects from https to http");
    }
    secure = there->starts_with("https:");
    url = *next;
  }
  return Status(EBADMSG, *origin + " redirects too often");
}

// Scheme, host and port in one form for all spellings.
Result<std::string> HttpClient::OriginOf(const std::string& url) {
  const std::unique_ptr<CURLU, Free> parsed(curl_url());
  if (!parsed) return Status(ENOMEM, "no memory for a URL");
  const unsigned flags = CURLU_DISALLOW_USER;
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), flags) != CURLUE_OK) {
    return Status(EBADMSG, "malformed URL");
  }
  std::string origin;
  for (const auto& [part, before] :
       {std::pair{CURLUPART_SCHEME, ""}, {CURLUPART_HOST, "://"}, {CURLUPART_PORT, ":"}}) {
    char* text = nullptr;
    const CURLUcode result = curl_url_get(parsed.get(), part, &text, CURLU_DEFAULT_PORT);
    const std::unique_ptr<char, Free> owner(text);
    if (result != CURLUE_OK) return Status(EBADMSG, "malformed URL");
    origin.append(before).append(text);
  }
  if (!origin.starts_with("http://") && !origin.starts_with("https://")) {
    return Status(EBADMSG, "neither http nor https");
  }
  return origin;
}

// The URL of a redirect, or nothing when the answer is there.
Result<std::string> HttpClient::Hop(const HttpRequest& request, const std::string& url,
                                    bool same_origin, Exchange* exchange) {
  CURL* easy = easy_.get();
  curl_easy_reset(easy);  // connections stay
  char detail[CURL_ERROR_SIZE] = "";
  std::vector<std::string> lines = request.headers;
  if (same_origin && !request.authorization.empty()) {
    lines.push_back("Authorization: " + request.authorization);
  }
  // By hand: libcurl's own option makes an error of a server that knows no ranges.
  if (request.from > 0) lines.push_back("Range: bytes=" + std::to_string(request.from) + "-");
  if (!std::all_of(lines.begin(), lines.end(), IsHeaderLine)) {
    return Status(EINVAL, "credentials or headers with control characters");
  }
  std::unique_ptr<curl_slist, Free> list;
  for (const std::string& line : lines) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) return Status(ENOMEM, "no memory for headers");
    (void)list.release();
    list.reset(longer);
  }
  bool ok = true;
  const auto set = [&](CURLoption option, auto value) {
    ok &= curl_easy_setopt(easy, option, value) == CURLE_OK;
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_HTTPHEADER, list.get());
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_USERAGENT, "usetl");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);
  // Only a wish: it cannot be changed while the buffer of a transfer that failed is still there.
  (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kBuffer);
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(config_.connect_seconds));
  set(CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(config_.stall_seconds));
  if (!request.unbounded) set(CURLOPT_TIMEOUT, static_cast<long>(config_.request_seconds));
  if (!config_.ca_file.empty()) set(CURLOPT_CAINFO, config_.ca_file.c_str());
  if (!request.form.empty()) {
    // A redirected form would go to a stranger; the first hop must answer.
    if (!same_origin) return Status(EBADMSG, "redirects credentials to another host");
    set(CURLOPT_POSTFIELDS, request.form.c_str());
  }
  set(CURLOPT_HEADERFUNCTION, OnHeader);
  set(CURLOPT_HEADERDATA, static_cast<void*>(exchange));
  set(CURLOPT_WRITEFUNCTION, OnBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(exchange));
  set(CURLOPT_XFERINFOFUNCTION, OnProgress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(exchange));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_ERRORBUFFER, detail);
  if (!ok) return Status(EIO, "libcurl refuses an option");

  exchange->response = {};
  exchange->head_bytes = exchange->error_bytes = 0;
  exchange->enough = false;
  const CURLcode code = curl_easy_perform(easy);
  // The buffer goes with this call, the handle stays.
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));
  if (!exchange->failure.ok()) return exchange->failure;
  if (code != CURLE_OK && !exchange->enough) return CurlError(easy, code, detail);
  const char* next = nullptr;
  if (exchange->response.status >= 300 && exchange->response.status < 400) {
    curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &next);
  }
  return std::string(next != nullptr ? next : "");
}

size_t HttpClient::OnHeader(char* bytes, size_t size, size_t count, void* context) {
  auto* exchange = static_cast<Exchange*>(context);
  HttpResponse& response = exchange->response;
  const std::string_view line(bytes, size * count);
  exchange->head_bytes += line.size();
  if (exchange->head_bytes > kMaxHead) {
    exchange->failure = Status(EBADMSG, "the head of an answer is larger than 64 kB");
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    response = {};  // an interim answer came before
    const size_t blank = std::min(line.find(' '), line.size() - 1);
    response.status = std::strtol(std::string(line.substr(blank)).c_str(), nullptr, 10);
    return line.size();
  }
  std::string value;
  if (HeaderIs(line, "content-type", &value)) {
    response.content_type = value.substr(0, value.find_first_of("; "));
  } else if (HeaderIs(line, "docker-content-digest", &value)) {
    response.content_digest = value;
  } else if (HeaderIs(line, "content-range", &value)) {
    response.content_range = value;
  } else if (HeaderIs(line, "www-authenticate", &value) && value.size() <= kMaxChallenge &&
             response.challenges.size() < kMaxHeaderValues) {
    response.challenges.push_back(value);
  }
  return line.size();
}

size_t HttpClient::OnBody(char* bytes, size_t size, size_t count, void* context) {
  auto* exchange = static_cast<Exchange*>(context);
  HttpResponse& response = exchange->response;
  const std::string_view body(bytes, size * count);
  if (response.status >= 200 && response.status < 300) {
    exchange->failure = exchange->sink(response, body);
    return exchange->failure.ok() ? body.size() : 0;
  }
  for (char c : body) {
    if (response.excerpt.size() >= kMaxExcerpt) break;
    response.excerpt.push_back(c >= ' ' && c < 0x7f ? c : ' ');
  }
  exchange->error_bytes += body.size();
  exchange->enough = exchange->error_bytes > kMaxErrorBody;
  return exchange->enough ? 0 : body.size();
}

int HttpClient::OnProgress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto* exchange = static_cast<Exchange*>(context);
  if (!IsCancelled(exchange->cancelled)) return 0;
  exchange->failure = CancelledStatus();
  return 1;
}

}  // namespace usetl::image
