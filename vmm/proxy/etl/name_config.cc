#include "vmm/proxy/etl/name_config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace usetl::etl {
namespace {

constexpr size_t kMostServers = 3;  // MAXNS of resolv.h
constexpr size_t kMostSearches = 32;
constexpr int kMostNdots = 15, kMostTimeout = 30, kMostAttempts = 5;
constexpr size_t kMostNames = 4096;  // of hosts

// Calls `visit` with the words of each line; what stands behind one of `comments` is none.
template <typename Visit>
void ForEachLine(std::string_view text, std::string_view comments, Visit visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find_first_of(comments));
    std::vector<std::string> words;
    for (size_t begin = 0; begin < line.size();) {
      const size_t stop = std::min(line.find_first_of(" \t\r", begin), line.size());
      if (stop > begin) words.emplace_back(line.substr(begin, stop - begin));
      begin = stop + 1;
    }
    if (words.size() > 1) visit(words);
  }
}

// A number behind `key` and a colon, at most `most`.
void ReadOption(std::string_view option, std::string_view key, int most, int* value) {
  if (!option.starts_with(key)) return;
  option.remove_prefix(key.size());
  int number = 0;
  const auto [end, error] = std::from_chars(option.data(), option.data() + option.size(), number);
  if (error != std::errc() || end != option.data() + option.size() || number < 0) return;
  *value = std::min(number, most);
}

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  }
  return text;
}

}  // namespace

bool IsAddress(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

void ReadResolverConfig(std::string_view text, NameConfig* config) {
  int timeout = config->timeout_ms / 1000;
  ForEachLine(text, "#;", [&](std::vector<std::string>& words) {
    if (words[0] == "nameserver") {
      config->names_servers = true;
      if (config->servers.size() < kMostServers && IsAddress(words[1])) {
        config->servers.push_back(words[1]);
      }
    } else if (words[0] == "search") {
      // The last such line counts.
      config->searches.assign(words.begin() + 1, words.end());
      if (config->searches.size() > kMostSearches) config->searches.resize(kMostSearches);
    } else if (words[0] == "options") {
      for (const std::string& option : words) {
        ReadOption(option, "ndots:", kMostNdots, &config->ndots);
        ReadOption(option, "timeout:", kMostTimeout, &timeout);
        ReadOption(option, "attempts:", kMostAttempts, &config->attempts);
        config->rotate |= option == "rotate";
      }
    }
  });
  config->timeout_ms = std::max(timeout, 1) * 1000;
  config->attempts = std::max(config->attempts, 1);
}

void ReadHosts(std::string_view text, NameConfig* config) {
  ForEachLine(text, "#", [&](std::vector<std::string>& words) {
    if (!IsAddress(words[0])) return;
    for (size_t i = 1; i < words.size() && config->hosts.size() < kMostNames; ++i) {
      config->hosts[Lower(words[i])].push_back(words[0]);
    }
  });
}

}  // namespace usetl::etl
