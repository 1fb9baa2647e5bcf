// http_client.h: requests to registries, one after the other, on libcurl.
#ifndef USETL_CRI_IMAGE_HTTP_CLIENT_H_
#define USETL_CRI_IMAGE_HTTP_CLIENT_H_

#include <curl/curl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cri/image/config.h"
#include "cri/image/files.h"
#include "vmm/base/status.h"

namespace usetl::image {

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;
  // Value of Authorization. Sent to the url's own scheme, host and port only, never where it
  // redirects to.
  std::string authorization;
  std::string form;        // not empty: POST of this
  uint64_t from = 0;       // first byte that is wanted
  bool unbounded = false;  // a blob: no limit of time but that of stalling
};

struct HttpResponse {
  long status = 0;
  bool redirected = false;  // from elsewhere than where the request went
  std::string content_type, content_digest, content_range;
  std::vector<std::string> challenges;  // values of WWW-Authenticate
  std::string excerpt;                  // of the body of an error: printable, one line

  // What the status means to a pull; OK for 2xx.
  Status AsStatus() const;
};

// Gets the body of a 2xx answer piece by piece. An error ends the transfer and is its result.
using BodySink = std::function<Status(const HttpResponse& head, std::string_view bytes)>;

// Whether trying again later may help.
bool IsTransient(const Status& status);

// Used by one thread at a time; keeps connections open between requests.
class HttpClient {
 public:
  HttpClient(const StoreConfig& config, Cancelled cancelled);

  // ETIMEDOUT, EHOSTUNREACH: the network or the server failed; ECONNREFUSED: nobody listens there;
  // ECANCELED. Answers of any status are no errors here. Follows up to five redirects, never from
  // https to http. Plain http only where the config allows it (EACCES).
  Result<HttpResponse> Get(const HttpRequest& request, const BodySink& sink);
  const Cancelled& cancelled() const { return cancelled_; }

 private:
  struct Free {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
    void operator()(char* text) const { curl_free(text); }
  };
  struct Exchange;

  Result<std::string> Hop(const HttpRequest& request, const std::string& url, bool same_origin,
                          Exchange* exchange);
  static Result<std::string> OriginOf(const std::string& url);
  static size_t OnHeader(char* bytes, size_t size, size_t count, void* exchange);
  static size_t OnBody(char* bytes, size_t size, size_t count, void* exchange);
  static int OnProgress(void* exchange, curl_off_t, curl_off_t, curl_off_t, curl_off_t);

  const StoreConfig& config_;
  const Cancelled cancelled_;
  std::unique_ptr<CURL, Free> easy_;
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_HTTP_CLIENT_H_
