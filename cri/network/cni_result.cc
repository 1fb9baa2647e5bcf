#include "cri/network/cni_result.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "cri/network/cni_config.h"
#include "vmm/base/json_text.h"

namespace usetl::cri {
namespace {

using nlohmann::json;

constexpr size_t kMaxInterfaces = 256;
constexpr size_t kMaxAddresses = 64;
constexpr size_t kMaxLine = 1024;

Status Bad(std::string message) { return Status(EBADMSG, std::move(message)); }

std::string_view TextOf(const json& object, const char* key) {
  const json* value = Member(object, key);
  if (value == nullptr || !value->is_string()) return {};
  return value->get_ref<const std::string&>();
}

// An array, empty when it is missing.
Result<json> ListOf(const json& object, const char* key, size_t most) {
  const json* value = Member(object, key);
  if (value == nullptr) return json::array();
  if (!value->is_array()) return Bad(std::string("\"") + key + "\" is no array");
  if (value->size() > most) return Bad(std::string("\"") + key + "\" has too many items");
  return *value;
}

// "10.1.2.3/16" without the prefix length; AF_UNSPEC when it is no such thing.
struct Address {
  int family = AF_UNSPEC;
  std::string text;
};

Address ParseAddress(std::string_view cidr) {
  const size_t slash = cidr.find('/');
  if (slash == std::string_view::npos || slash > INET6_ADDRSTRLEN) return {};
  const std::string_view length = cidr.substr(slash + 1);
  unsigned prefix = 0;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), prefix);
  if (error != std::errc() || end != length.data() + length.size()) return {};
  Address address;
  address.text = cidr.substr(0, slash);
  if (address.text.find('\0') != std::string::npos) return {};
  in6_addr bytes;
  for (const auto& [family, most] : {std::pair{AF_INET, 32u}, std::pair{AF_INET6, 128u}}) {
    if (inet_pton(family, address.text.c_str(), &bytes) == 1 && prefix <= most) {
      address.family = family;
    }
  }
  return address;
}

// Whether an item of "ips" belongs to the pod's interface; none: it says something impossible.
std::optional<bool> IsOfPod(const json& ip, const json& interfaces) {
  const json* index = Member(ip, "interface");
  if (index == nullptr) return true;
  if (!index->is_number_integer()) return std::nullopt;
  const auto at = index->get<int64_t>();
  if (at < 0 || static_cast<size_t>(at) >= interfaces.size()) return std::nullopt;
  const json& interface = interfaces[static_cast<size_t>(at)];
  if (!interface.is_object()) return std::nullopt;
  return TextOf(interface, "name") == kPodInterface && !TextOf(interface, "sandbox").empty();
}

std::string OneLine(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::string line(text.substr(0, kMaxLine));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return line;
}

}  // namespace

Result<json> ParseCniResult(std::string_view text) {
  if (text.size() > kMaxCniDocument) return Bad("the result is larger than 1 MB");
  Result<json> result = ParseJson(text, "the result");
  if (!result.ok()) return Bad(result.status().message());
  if (!result->is_object()) return Bad("the result is no JSON object");
  return result;
}

Result<std::vector<std::string>> AddressesOf(const json& result) {
  const Result<json> interfaces = ListOf(result, "interfaces", kMaxInterfaces);
  if (!interfaces.ok()) return interfaces.status();
  const Result<json> ips = ListOf(result, "ips", kMaxAddresses);
  if (!ips.ok()) return ips.status();
  std::vector<Address> found;
  for (const json& ip : *ips) {
    if (!ip.is_object()) return Bad("an item of \"ips\" is no object");
    const std::optional<bool> wanted = IsOfPod(ip, *interfaces);
    if (!wanted.has_value()) return Bad("an address is of an interface that the result lacks");
    Address address = ParseAddress(TextOf(ip, "address"));
    if (address.family == AF_UNSPEC) return Bad("an item of \"ips\" has no valid address");
    if (*wanted) found.push_back(std::move(address));
  }
  std::stable_partition(found.begin(), found.end(),
                        [](const Address& address) { return address.family == AF_INET; });
  std::vector<std::string> addresses;
  for (Address& address : found) addresses.push_back(std::move(address.text));
  return addresses;
}

std::string DescribeCniError(std::string_view answer, std::string_view stderr_tail,
                             std::string_view ended) {
  const Result<json> error = ParseCniResult(answer);
  if (error.ok() && !TextOf(*error, "msg").empty()) {
    std::string line = OneLine(TextOf(*error, "msg"));
    if (const std::string details = OneLine(TextOf(*error, "details")); !details.empty()) {
      line += "; " + details;
    }
    const json* code = Member(*error, "code");
    if (code != nullptr && code->is_number_integer()) line += " (code " + code->dump() + ")";
    return line;
  }
  std::string line(ended);
  if (const std::string said = OneLine(stderr_tail); !said.empty()) line += ": " + said;
  return line;
}

}  // namespace usetl::cri
