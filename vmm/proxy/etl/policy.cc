#include "vmm/proxy/etl/policy.h"

#include <algorithm>

#include "vmm/proxy/etl/address_ranges.h"

namespace usetl::etl {
namespace {

// Names of metadata services, refused before anybody resolves them.
constexpr std::string_view kMetadataNames[] = {"metadata", "metadata.google.internal",
                                               "instance-data", "instance-data.ec2.internal"};

}  // namespace

Status Policy::Allow(std::string_view text) {
  if (text == "*") {
    any_public_ = true;
    return Status();
  }
  const Status bad(EINVAL, "origin " + std::string(text) +
                               ": want http://HOST[:PORT], https://HOST[:PORT], "
                               "https://*.DOMAIN or *");
  Rule rule;
  std::string plain(text);
  if (const size_t star = plain.find("://*."); star != plain.npos) {
    rule.subdomains = true;
    plain.erase(star + 3, 2);
  }
  if (plain.ends_with('/')) plain.pop_back();
  if (plain.find_first_of("/?#", std::min(plain.find("://") + 3, plain.size())) != plain.npos) {
    return bad;
  }
  Result<Url> url = Url::Parse(plain);
  if (!url.ok()) return bad;
  rule.origin = url->origin();
  rules_.push_back(std::move(rule));
  return Status();
}

bool Policy::Matches(const Rule& rule, const Origin& origin) {
  if (rule.origin.scheme != origin.scheme || rule.origin.port != origin.port) return false;
  if (!rule.subdomains) return rule.origin.host == origin.host;
  return origin.host.ends_with("." + rule.origin.host);
}

Status Policy::CheckOrigin(const Origin& origin) const {
  for (const Rule& rule : rules_) {
    if (Matches(rule, origin)) return Status();
  }
  for (const std::string_view name : kMetadataNames) {
    if (origin.host == name) return Status(EPERM, origin.Text() + " is a metadata service");
  }
  if (any_public_ || network_) return Status();
  return Status(
      EPERM,
      origin.Text() + " is not on the allow-list (usetl run --allow, annotation usetl.dev/allow)");
}

Status Policy::CheckAddress(const Origin& origin, const sockaddr* address) const {
  const std::string text = AddressText(address);
  // Only a rule for this very origin opens the internal addresses that its host leads to.
  bool named = false;
  for (const Rule& rule : rules_) named |= !rule.subdomains && rule.origin == origin;
  if (IsMetadataAddress(address) && !(named && text == origin.host)) {
    return Status(EPERM, origin.Text() + " leads to the metadata address " + text);
  }
  if (named || (network_ && IsUnicastAddress(address))) return Status();
  if (IsInternalAddress(address)) {
    return Status(EPERM, origin.Text() + " leads to the internal address " + text);
  }
  if (IsNodeAddress(address)) {
    return Status(EPERM, origin.Text() + " leads to this node's address " + text);
  }
  return Status();
}

}  // namespace usetl::etl
