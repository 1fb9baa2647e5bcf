#include "cri/image/config.h"

#include <curl/curl.h>
#include <fcntl.h>

#include <memory>

#include "cri/image/reference.h"
#include "vmm/base/fd.h"

namespace usetl::image {
namespace {

bool IsDomain(const std::string& text) {
  const Result<Reference> name = Reference::Parse(text + "/a/b");
  return name.ok() && name->domain == text;
}

// Nothing of it may be a secret: it is printed where a pull fails.
bool IsServer(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  if (!parsed || (!url.starts_with("https://") && !url.starts_with("http://")) ||
      curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK) {
    return false;
  }
  return url.find_first_of("?#") == url.npos;
}

}  // namespace

Status AddMirror(std::string_view text, StoreConfig* config) {
  const size_t equals = text.find('=');
  if (equals == text.npos) return Status(EINVAL, "a mirror is given as DOMAIN=URL");
  const std::string domain(text.substr(0, equals));
  std::string url(text.substr(equals + 1));
  if (!IsDomain(domain)) {
    return Status(EINVAL, "the mirror of \"" + domain +
                              "\": that is no registry's domain, as docker.io or host:5000 are");
  }
  if (!IsServer(url)) {
    return Status(EINVAL, "the mirror of " + domain +
                              " wants an http or https URL without user, password or query: "
                              "mirrors get no credentials");
  }
  config->mirrors[domain].push_back(std::move(url));
  return Status();
}

Status CheckConfig(const StoreConfig& config) {
  for (const std::string& host : config.insecure) {
    if (IsDomain(host) || IsDomain(host + ":80")) continue;
    return Status(EINVAL, "an insecure registry is given as HOST or HOST:PORT, without a scheme");
  }
  if (config.ca_file.empty()) return Status();
  const Fd file(open(config.ca_file.c_str(), O_RDONLY | O_CLOEXEC));
  return file.ok() ? Status() : Status::Errno("read the certificates " + config.ca_file);
}

}  // namespace usetl::image
