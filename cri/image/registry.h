// registry.h: what a pull asks of a registry (and its mirrors): manifests and blobs.
#ifndef USETL_CRI_IMAGE_REGISTRY_H_
#define USETL_CRI_IMAGE_REGISTRY_H_

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "cri/image/config.h"
#include "cri/image/http_client.h"
#include "cri/image/partial_blob.h"
#include "cri/image/reference.h"

namespace usetl::image {

struct RegistryDocument {
  std::string bytes;
  std::string digest;      // of these bytes
  std::string media_type;  // as the registry calls it
};

// One repository. Thread-safe; each thread brings its client. Every byte that comes out of here has
// the digest that it was asked by, but for a manifest that was asked by tag. Errors: ENOENT,
// EACCES, EHOSTUNREACH, ECONNREFUSED, ETIMEDOUT, EBADMSG, ENOSPC, ECANCELED.
class Registry {
 public:
  // `config` must outlive this.
  Registry(const StoreConfig& config, const Reference& reference, const Auth& auth);

  // `tag_or_digest`: of an index or a manifest. At most kMaxDocument bytes.
  Result<RegistryDocument> Manifest(HttpClient* client, const std::string& tag_or_digest);
  // A blob that is a document.
  Result<std::string> Document(HttpClient* client, const Descriptor& descriptor);
  // Goes on from what `blob` has; `progress` gets the bytes that it holds then.
  Status Blob(HttpClient* client, PartialBlob* blob, const std::function<void(uint64_t)>& progress);

 private:
  // A place to ask, with what it wants to see.
  struct Endpoint {
    std::string base;  // "https://host/v2/"
    bool own = false;  // the registry itself: it alone gets credentials
    std::string authorization;
  };
  using Attempt = std::function<Status(Endpoint*)>;

  Status AtAnyEndpoint(const Attempt& attempt);
  // Tries again what may help, while no byte comes for config.retries times; says so when it takes
  // more than a moment.
  Status WithRetries(const HttpClient& client, const std::function<Status()>& attempt,
                     const std::function<uint64_t()>& received);
  // The request with what the endpoint wants as Authorization; proves who asks at most twice.
  Result<HttpResponse> Ask(HttpClient* client, Endpoint* endpoint, HttpRequest request,
                           const BodySink& sink);
  Status Authorize(HttpClient* client, Endpoint* endpoint, const HttpResponse& refusal);
  Result<std::string> FetchToken(HttpClient* client, const Endpoint& endpoint,
                                 const std::map<std::string, std::string>& parameters);
  Status FetchDocument(HttpClient* client, Endpoint* endpoint, const HttpRequest& request,
                       RegistryDocument* document);
  Status BlobOnce(HttpClient* client, Endpoint* endpoint, PartialBlob* blob,
                  const std::function<void(uint64_t)>& progress);
  std::string Url(const Endpoint& endpoint, const char* kind, const std::string& name) const;

  const StoreConfig& config_;
  const std::string name_, repository_;  // with the registry's name, without
  // Values of Authorization, empty without.
  std::string basic_, bearer_;
  std::string identity_token_;

  std::mutex mutex_;  // guards the authorizations
  std::vector<Endpoint> endpoints_;
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_REGISTRY_H_
