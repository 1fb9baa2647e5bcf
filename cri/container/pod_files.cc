#include "cri/container/pod_files.h"

#include <arpa/inet.h>

#include <algorithm>
#include <string_view>

namespace usetl::cri {
namespace {

namespace v1 = ::runtime::v1;

constexpr size_t kLongestHostname = 64;  // what uname(2) has room for
// Kubernetes' own: kubelet cuts what exceeds them.
constexpr int kMostServers = 3, kMostSearches = 32, kLongestSearches = 2048;
constexpr int kMostOptions = 32;
constexpr size_t kLongestWord = 255;

// Separators would make two words of it, or a line of its own.
bool IsWord(std::string_view text) {
  return !text.empty() && text.size() <= kLongestWord &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

// With a zone perhaps: fe80::1%eth0.
bool IsAddress(const std::string& text) {
  if (!IsWord(text)) return false;
  in6_addr parsed;
  return inet_pton(AF_INET, text.c_str(), &parsed) == 1 ||
         inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), &parsed) == 1;
}

Status Malformed(const std::string& what) {
  return Status(EINVAL, "usetl: malformed " + what + " in the pod's DNS config");
}

Status TooMany(int most, const std::string& what) {
  return Status(
      EINVAL, "usetl: more than " + std::to_string(most) + " " + what + " in the pod's DNS config");
}

using Words = google::protobuf::RepeatedPtrField<std::string>;

Status AddLine(const char* key, const Words& words, int most, const char* what, std::string* text) {
  if (words.empty()) return Status();
  if (words.size() > most) return TooMany(most, what);
  *text += key;
  for (const std::string& word : words) {
    if (!IsWord(word)) return Malformed(key);
    *text += " " + word;
  }
  *text += "\n";
  return Status();
}

Result<std::string> ResolverText(const v1::DNSConfig& dns) {
  std::string text;
  USETL_RETURN_IF_ERROR(AddLine("search", dns.searches(), kMostSearches, "search domains", &text));
  if (text.size() > sizeof "search" + kLongestSearches) {
    return TooMany(kLongestSearches, "characters of search domains");
  }
  if (dns.servers_size() > kMostServers) return TooMany(kMostServers, "nameservers");
  for (const std::string& server : dns.servers()) {
    if (!IsAddress(server)) return Malformed("nameserver");
    text += "nameserver " + server + "\n";
  }
  USETL_RETURN_IF_ERROR(AddLine("options", dns.options(), kMostOptions, "options", &text));
  return text;
}

}  // namespace

Result<std::vector<PodFile>> PodFiles(const v1::PodSandboxConfig& pod) {
  std::vector<PodFile> files;
  if (!pod.hostname().empty()) {
    if (pod.hostname().size() > kLongestHostname || !IsWord(pod.hostname())) {
      return Status(EINVAL, "usetl: malformed hostname of the pod");
    }
    files.push_back({"/etc/hostname", pod.hostname() + "\n"});
  }
  Result<std::string> resolver = ResolverText(pod.dns_config());
  if (!resolver.ok()) return resolver.status();
  if (!resolver->empty()) files.push_back({"/etc/resolv.conf", std::move(*resolver)});
  return files;
}

}  // namespace usetl::cri
