#include "vmm/base/mounts.h"

namespace usetl {
namespace {

// The kernel writes blanks and backslashes of paths as three octal digits.
std::string Unescape(std::string_view text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      path += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                (text[i + 3] - '0'));
      i += 3;
    } else {
      path += text[i];
    }
  }
  return path;
}

}  // namespace

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::vector<MountEntry> ParseMounts(std::string_view mountinfo) {
  std::vector<MountEntry> mounts;
  for (const std::string_view line : Split(mountinfo, '\n')) {
    // "36 35 98:0 /root /mount rw shared:1 - type source options"
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto head = Split(line.substr(0, dash), ' ');
    const auto tail = Split(line.substr(dash + 3), ' ');
    if (head.size() < 6 || tail.size() < 3) continue;
    mounts.push_back(
        {Unescape(head[3]), Unescape(head[4]), std::string(tail[0]), std::string(tail[2])});
  }
  return mounts;
}

}  // namespace usetl
