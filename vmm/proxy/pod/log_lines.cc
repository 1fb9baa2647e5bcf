#include "vmm/proxy/pod/log_lines.h"

#include <time.h>

#include <cstdio>

namespace usetl::pod {

void LogLines::Write(uint32_t stream, char tag, std::string_view text, int64_t now,
                     std::string* to) {
  constexpr int64_t kSecond = 1'000'000'000;
  const time_t seconds = now / kSecond;
  tm parts;
  gmtime_r(&seconds, &parts);
  char head[80];
  const size_t date = strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &parts);
  const int size =
      std::snprintf(head + date, sizeof head - date, ".%09ldZ %s %c ",
                    static_cast<long>(now % kSecond), stream == 1 ? "stdout" : "stderr", tag);
  to->append(head, date + size).append(text).push_back('\n');
}

uint64_t LogLines::Add(uint32_t stream, std::string_view bytes, int64_t now, std::string* to) {
  std::string& begun = begun_[stream == 1 ? 0 : 1];
  uint64_t lines = 0;
  while (!bytes.empty()) {
    const std::string_view line = bytes.substr(0, bytes.find('\n'));
    const bool ends = line.size() < bytes.size();
    const std::string_view taken = line.substr(0, kMaxPiece - begun.size());
    bytes.remove_prefix(taken.size());
    begun.append(taken);
    if (ends && taken.size() == line.size()) {
      Write(stream, 'F', begun, now, to);
      bytes.remove_prefix(1);
    } else if (begun.size() == kMaxPiece) {
      Write(stream, 'P', begun, now, to);
    } else {
      break;  // the rest comes later
    }
    ++lines;
    begun.clear();
  }
  return lines;
}

uint64_t LogLines::Finish(int64_t now, std::string* to) {
  uint64_t lines = 0;
  for (const uint32_t stream : {1u, 2u}) {
    std::string& begun = begun_[stream - 1];
    if (begun.empty()) continue;
    Write(stream, 'P', begun, now, to);
    begun = {};
    ++lines;
  }
  return lines;
}

}  // namespace usetl::pod
