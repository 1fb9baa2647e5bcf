#include "cri/container/pod_files.h"

#include <algorithm>
#include <string_view>

namespace usetl::cri {
namespace {

namespace v1 = ::runtime::v1;

constexpr size_t kLongestHostname = 64;  // what uname(2) has room for

// Separators would make two words of it, or a line of its own.
bool IsWord(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

template <typename Words>
Status AddLine(const char* key, const Words& words, std::string* text) {
  if (words.empty()) return Status();
  *text += key;
  for (const std::string& word : words) {
    if (!IsWord(word)) {
      return Status(EINVAL, std::string("usetl: malformed ") + key + " in the pod's DNS config");
    }
    *text += " " + word;
  }
  *text += "\n";
  return Status();
}

Result<std::string> ResolverText(const v1::DNSConfig& dns) {
  std::string text;
  USETL_RETURN_IF_ERROR(AddLine("search", dns.searches(), &text));
  for (const std::string& server : dns.servers()) {
    USETL_RETURN_IF_ERROR(AddLine("nameserver", std::vector{server}, &text));
  }
  USETL_RETURN_IF_ERROR(AddLine("options", dns.options(), &text));
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
