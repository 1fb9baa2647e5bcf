#include "cri/network/interfaces.h"

#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <span>
#include <thread>

#include "cri/network/namespaces.h"

namespace usetl::cri {
namespace {

constexpr size_t kMostInterfaces = 256;

// Up to `count` numbers with blanks between them; false: there are fewer.
bool ParseNumbers(std::string_view text, std::span<uint64_t> numbers) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (uint64_t& number : numbers) {
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) return false;
    at = next;
  }
  return true;
}

Interfaces ReadHere() {
  std::ifstream file("/proc/thread-self/net/dev");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return ParseInterfaces(text);
}

}  // namespace

Interfaces ParseInterfaces(std::string_view text) {
  Interfaces found;
  Interfaces loopback;
  while (!text.empty() && found.size() < kMostInterfaces) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t colon = line.find(':');  // the two lines above the table have none
    if (colon == line.npos) continue;
    const size_t begin = line.find_first_not_of(' ');
    // Bytes, packets, errors, dropped, of eight columns that were received and as many sent.
    std::array<uint64_t, 12> columns;
    if (begin == colon || !ParseNumbers(line.substr(colon + 1), columns)) continue;
    Interface one{std::string(line.substr(begin, colon - begin)),
                  columns[0],
                  columns[1],
                  columns[2],
                  columns[3],
                  columns[8],
                  columns[9],
                  columns[10],
                  columns[11]};
    (one.name == "lo" ? loopback : found).push_back(std::move(one));
  }
  return found.empty() ? loopback : found;
}

std::vector<Interfaces> ReadInterfaces(const std::vector<std::string>& namespaces) {
  std::vector<Interfaces> all(namespaces.size());
  std::thread([&] {
    for (size_t i = 0; i < namespaces.size(); ++i) {
      if (namespaces[i].empty()) continue;
      const Result<Fd> entered = Namespaces::Open(namespaces[i]);
      if (entered.ok() && EnterNetwork(entered->get()).ok()) all[i] = ReadHere();
    }
  }).join();
  return all;
}

}  // namespace usetl::cri
