#include "cri/image/registry.h"

#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cri/image/challenge.h"
#include "vmm/base/json_text.h"

namespace usetl::image {
namespace {

constexpr size_t kMaxTokenAnswer = 256 << 10;
constexpr size_t kMaxToken = 64 << 10;
constexpr auto kLongestPause = std::chrono::milliseconds(5000);
constexpr auto kPauseStep = std::chrono::milliseconds(50);
constexpr auto kSilence = std::chrono::seconds(1);
// While a server that is just being restarted refuses connections. One that does so for longer is
// not there, or has another port.
constexpr auto kMostRefusals = std::chrono::seconds(1);
// Whatever the server does, a blob is not asked for more often than this.
constexpr int kMaxAttempts = 100;

std::string Base64(std::string_view text) {
  std::string encoded(4 * ((text.size() + 2) / 3) + 1, 0);
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  encoded.resize(size);
  return encoded;
}

std::string Escape(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        std::string_view("-._~").find(c) != std::string_view::npos) {
      escaped.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      escaped.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  return escaped;
}

Result<std::string> TokenOf(std::string_view answer) {
  const Result<nlohmann::json> document = ParseJson(answer, "the answer of the token server");
  if (!document.ok()) return Status(EBADMSG, document.status().message());
  for (const char* key : {"token", "access_token"}) {
    const nlohmann::json* token = Member(*document, key);
    if (token == nullptr || !token->is_string()) continue;
    const std::string& text = token->get_ref<const std::string&>();
    if (!text.empty() && text.size() <= kMaxToken) return text;
  }
  return Status(EBADMSG, "the token server gave no usable token");
}

}  // namespace

Registry::Registry(const StoreConfig& config, const Reference& reference, const Auth& auth)
    : config_(config), name_(reference.Name()), repository_(reference.path) {
  if (!auth.registry_token.empty()) {
    bearer_ = "Bearer " + auth.registry_token;
  } else if (!auth.identity_token.empty()) {
    identity_token_ = auth.identity_token;
  } else if (!auth.username.empty()) {
    basic_ = "Basic " + Base64(auth.username + ":" + auth.password);
  } else if (!auth.encoded.empty()) {
    basic_ = "Basic " + auth.encoded;
  }
  const auto mirrors = config.mirrors.find(reference.domain);
  if (mirrors != config.mirrors.end()) {
    for (std::string base : mirrors->second) {
      while (base.ends_with('/')) base.pop_back();
      endpoints_.push_back({base + "/v2/", false, {}});
    }
  }
  const std::string host = reference.Host();
  const bool plain = IsLoopback(host) || config.insecure.contains(host);
  endpoints_.push_back({(plain ? "http://" : "https://") + host + "/v2/", true, bearer_});
}

std::string Registry::Url(const Endpoint& endpoint, const char* kind,
                          const std::string& name) const {
  return endpoint.base + repository_ + "/" + kind + "/" + name;
}

Status Registry::AtAnyEndpoint(const Attempt& attempt) {
  std::string mirrors_said;
  for (Endpoint& endpoint : endpoints_) {
    const Status status = attempt(&endpoint);
    // A mirror may fail in any way; what the machine itself cannot do will not work elsewhere.
    if (status.ok() || status.code() == ENOSPC || status.code() == ECANCELED) return status;
    // The registry itself comes last and decides.
    if (endpoint.own) return Status(status.code(), status.message() + mirrors_said);
    mirrors_said += "; mirror " + endpoint.base + ": " + status.message();
  }
  return Status(EHOSTUNREACH, "no registry to ask");
}

Status Registry::WithRetries(const HttpClient& client, const std::function<Status()>& attempt,
                             const std::function<uint64_t()>& received) {
  auto pause = std::chrono::milliseconds(config_.retry_pause_ms);
  const auto begin = std::chrono::steady_clock::now();
  int left = config_.retries;
  uint64_t best = received();
  for (int attempts = 1;; ++attempts) {
    const Status status = attempt();
    if (!IsTransient(status) || attempts >= kMaxAttempts) return status;
    if (received() > best) {
      best = received();
      left = config_.retries;
      pause = std::chrono::milliseconds(config_.retry_pause_ms);
    }
    if (left-- <= 0) return status;
    const auto next = std::chrono::steady_clock::now() + pause - begin;  // when it is tried again
    if (status.code() == ECONNREFUSED && next > kMostRefusals) return status;
    if (config_.on_retry && next >= kSilence) {
      char when[64];
      std::snprintf(when, sizeof when, "; again in %.1f s, %d of %d times",
                    static_cast<double>(pause.count()) / 1000, config_.retries - left,
                    config_.retries);
      config_.on_retry(name_ + ": " + status.message() + when);
    }
    for (auto slept = pause; slept.count() > 0; slept -= kPauseStep) {
      if (IsCancelled(client.cancelled())) return CancelledStatus();
      std::this_thread::sleep_for(std::min(slept, kPauseStep));
    }
    pause = std::min(2 * pause, kLongestPause);
  }
}

Result<HttpResponse> Registry::Ask(HttpClient* client, Endpoint* endpoint, HttpRequest request,
                                   const BodySink& sink) {
  // The second refusal may be of a token that another thread got long ago.
  for (int refusals = 0;; ++refusals) {
    {
      const std::lock_guard lock(mutex_);
      request.authorization = endpoint->authorization;
    }
    Result<HttpResponse> response = client->Get(request, sink);
    if (!response.ok() || response->status != 401) return response;
    const bool fixed = endpoint->own && !bearer_.empty();
    // Only the endpoint itself may say where credentials are wanted, not where it redirects to.
    if (refusals == 2 || fixed || response->redirected) return response;
    if (Status status = Authorize(client, endpoint, *response); !status.ok()) return status;
  }
}

Status Registry::Authorize(HttpClient* client, Endpoint* endpoint, const HttpResponse& refusal) {
  const Challenge* basic = nullptr;
  const Challenge* bearer = nullptr;
  std::vector<Challenge> all;
  for (const std::string& value : refusal.challenges) {
    for (Challenge& challenge : ParseChallenges(value)) all.push_back(std::move(challenge));
  }
  for (const Challenge& challenge : all) {
    if (challenge.scheme == "basic") basic = &challenge;
    if (challenge.scheme == "bearer") bearer = &challenge;
  }
  std::string authorization;
  if (bearer != nullptr) {
    Result<std::string> token = FetchToken(client, *endpoint, bearer->parameters);
    if (!token.ok()) return token.status();
    authorization = "Bearer " + *token;
  } else if (basic != nullptr && endpoint->own && !basic_.empty()) {
    authorization = basic_;
  } else {
    return Status(EACCES, "the registry wants credentials");
  }
  const std::lock_guard lock(mutex_);
  endpoint->authorization = std::move(authorization);
  return Status();
}

Result<std::string> Registry::FetchToken(HttpClient* client, const Endpoint& endpoint,
                                         const std::map<std::string, std::string>& parameters) {
  const auto value = [&](const char* key) {
    const auto found = parameters.find(key);
    return found == parameters.end() ? std::string() : found->second;
  };
  HttpRequest request;
  request.url = value("realm");
  if (!request.url.starts_with("https://") &&
      !(request.url.starts_with("http://") && endpoint.base.starts_with("http://"))) {
    return Status(EBADMSG, "the registry names a token server that is not https");
  }
  std::string scope = value("scope");
  if (scope.empty()) scope = "repository:" + repository_ + ":pull";
  const std::string query = "service=" + Escape(value("service")) + "&scope=" + Escape(scope);
  if (endpoint.own && !identity_token_.empty()) {
    request.form = "grant_type=refresh_token&client_id=usetl&" + query +
                   "&refresh_token=" + Escape(identity_token_);
  } else {
    request.url += (request.url.find('?') == std::string::npos ? "?" : "&") + query;
    if (endpoint.own) request.authorization = basic_;
  }
  std::string answer;
  const Result<HttpResponse> response =
      client->Get(request, [&](const HttpResponse&, std::string_view bytes) {
        if (answer.size() + bytes.size() > kMaxTokenAnswer) {
          return Status(EBADMSG, "the answer of the token server is too large");
        }
        answer.append(bytes);
        return Status();
      });
  if (!response.ok()) return response.status().Annotate("token server");
  const Status status = response->AsStatus().Annotate("token server");
  // Whatever it has against the request: the pull is not allowed.
  if (!status.ok()) return IsTransient(status) ? status : Status(EACCES, status.message());
  return TokenOf(answer);
}

Status Registry::FetchDocument(HttpClient* client, Endpoint* endpoint, const HttpRequest& request,
                               RegistryDocument* document) {
  document->bytes.clear();
  const Result<HttpResponse> response =
      Ask(client, endpoint, request, [&](const HttpResponse&, std::string_view bytes) {
        if (document->bytes.size() + bytes.size() > kMaxDocument) {
          return Status(EBADMSG, "a manifest or config is larger than 4 MB");
        }
        document->bytes.append(bytes);
        return Status();
      });
  if (!response.ok()) return response.status();
  USETL_RETURN_IF_ERROR(response->AsStatus());
  document->media_type = response->content_type;
  document->digest = DigestOf(document->bytes);
  if (IsDigest(response->content_digest) && response->content_digest != document->digest) {
    return Status(EBADMSG,
                  "the registry calls " + document->digest + " " + response->content_digest);
  }
  return Status();
}

Result<RegistryDocument> Registry::Manifest(HttpClient* client, const std::string& tag_or_digest) {
  RegistryDocument document;
  const Status status = AtAnyEndpoint([&](Endpoint* endpoint) -> Status {
    HttpRequest request;
    request.url = Url(*endpoint, "manifests", tag_or_digest);
    for (const char* type : {kOciIndex, kDockerIndex, kOciManifest, kDockerManifest}) {
      request.headers.push_back(std::string("Accept: ") + type);
    }
    USETL_RETURN_IF_ERROR(WithRetries(
        *client, [&] { return FetchDocument(client, endpoint, request, &document); },
        [] { return uint64_t{0}; }));
    if (IsDigest(tag_or_digest) && document.digest != tag_or_digest) {
      return Status(EBADMSG, "the manifest is " + document.digest + " instead of " + tag_or_digest);
    }
    return Status();
  });
  if (!status.ok()) {  // a tag is the caller's to name: by itself it reads as a number
    return status.Annotate(IsDigest(tag_or_digest) ? "manifest " + tag_or_digest : "its manifest");
  }
  return document;
}

Result<std::string> Registry::Document(HttpClient* client, const Descriptor& descriptor) {
  RegistryDocument document;
  const Status status = AtAnyEndpoint([&](Endpoint* endpoint) -> Status {
    HttpRequest request;
    request.url = Url(*endpoint, "blobs", descriptor.digest);
    USETL_RETURN_IF_ERROR(WithRetries(
        *client, [&] { return FetchDocument(client, endpoint, request, &document); },
        [] { return uint64_t{0}; }));
    if (document.digest != descriptor.digest || document.bytes.size() != descriptor.size) {
      return Status(EBADMSG, "it is " + document.digest);
    }
    return Status();
  });
  if (!status.ok()) return status.Annotate("blob " + descriptor.digest);
  return std::move(document.bytes);
}

Status Registry::Blob(HttpClient* client, PartialBlob* blob,
                      const std::function<void(uint64_t)>& progress) {
  const Status status = AtAnyEndpoint([&](Endpoint* endpoint) -> Status {
    bool resumed = blob->size() > 0;
    while (true) {
      USETL_RETURN_IF_ERROR(WithRetries(
          *client, [&] { return BlobOnce(client, endpoint, blob, progress); },
          [&] { return blob->size(); }));
      const Status stored = blob->Commit();
      // What an earlier pull had left may be what is wrong.
      if (stored.code() != EBADMSG || !resumed) return stored;
      resumed = false;
    }
  });
  // A full disk gets its room back.
  if (status.code() == ENOSPC) (void)blob->Restart();
  return status.Annotate("blob " + blob->descriptor().digest);
}

Status Registry::BlobOnce(HttpClient* client, Endpoint* endpoint, PartialBlob* blob,
                          const std::function<void(uint64_t)>& progress) {
  const uint64_t size = blob->descriptor().size;
  if (blob->size() == size) return Status();
  HttpRequest request;
  request.url = Url(*endpoint, "blobs", blob->descriptor().digest);
  request.unbounded = true;
  request.from = blob->size();
  bool checked = false;
  const auto take = [&](const HttpResponse& head, std::string_view bytes) -> Status {
    if (!checked) {
      checked = true;
      const std::string wanted = "bytes " + std::to_string(request.from) + "-";
      const bool goes_on =
          request.from > 0 && head.status == 206 && head.content_range.starts_with(wanted);
      if (!goes_on && head.status == 206) return Status(EBADMSG, "an answer for other bytes");
      if (!goes_on) USETL_RETURN_IF_ERROR(blob->Restart());
    }
    USETL_RETURN_IF_ERROR(blob->Append(bytes));
    progress(blob->size());
    return Status();
  };
  const Result<HttpResponse> response = Ask(client, endpoint, request, take);
  if (!response.ok()) return response.status();
  if (response->status == 416) {
    USETL_RETURN_IF_ERROR(blob->Restart());
    return Status(EHOSTUNREACH, "the registry does not resume");
  }
  USETL_RETURN_IF_ERROR(response->AsStatus());
  if (blob->size() < size) {
    // A whole answer that is too short may be a proxy's doing as well as the registry's.
    return Status(EHOSTUNREACH, "ended after " + std::to_string(blob->size()) + " of " +
                                    std::to_string(size) + " bytes");
  }
  return Status();
}

}  // namespace usetl::image
